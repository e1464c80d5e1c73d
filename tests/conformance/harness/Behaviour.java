/** A conformance program in Java: each folder beside this one has one, named as the folder is ({@code activity_result/ActivityResult.java}). */
interface Behaviour {
    /** Tells the worker its workflows and activities. */
    void register(Worker worker);

    /** Throws if the behaviour is not as it should be. */
    void check(Env env) throws Exception;

    /** Further lines of the {@code [[worker]]} in the sidecar's configuration. */
    default String[] options() {
        return new String[0];
    }
}
