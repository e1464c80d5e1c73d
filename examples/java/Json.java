import java.math.BigDecimal;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A JSON value: what the sidecar's messages are made of.
 *
 * <p>Reading never fails on what isn't there: {@code json.get("activityStart").get("attempt")} is the JSON null if the first member is
 * missing. What is written is made of maps, lists, strings, numbers, booleans, null, and other {@code Json}s.
 */
record Json(Object value) {
    static final Json NULL = new Json(null);

    /** An object; its members are given as name, value, name, value, and so on. */
    static Json object(Object... members) {
        var object = new LinkedHashMap<String, Object>();
        for (int i = 0; i < members.length; i += 2) object.put((String) members[i], members[i + 1]);
        return new Json(object);
    }

    /** This object with more members, or other values for those that it has. */
    Json with(Object... members) {
        var object = new LinkedHashMap<>(members());
        object.putAll(object(members).members());
        return new Json(object);
    }

    /** A time as a {@code google.protobuf.Duration}. */
    static Json of(Duration duration) {
        return new Json(BigDecimal.valueOf(duration.toMillis(), 3).toPlainString() + "s");
    }

    boolean has(String name) {
        return value instanceof Map<?, ?> map && map.containsKey(name);
    }

    Json get(String name) {
        return value instanceof Map<?, ?> map ? of(map.get(name)) : NULL;
    }

    Json get(int index) {
        var list = list();
        return index < list.size() ? list.get(index) : NULL;
    }

    List<Json> list() {
        if (!(value instanceof List<?> list)) return List.of();
        return list.stream().map(Json::of).toList();
    }

    @SuppressWarnings("unchecked")
    Map<String, Json> members() {
        if (!(value instanceof Map<?, ?> map)) return Map.of();
        var members = new LinkedHashMap<String, Json>();
        ((Map<String, Object>) map).forEach((name, member) -> members.put(name, of(member)));
        return members;
    }

    boolean isNull() {
        return value == null;
    }

    boolean isTrue() {
        return Boolean.TRUE.equals(value);
    }

    /** A string, or "" if it is none. */
    String text() {
        return value instanceof String text ? text : "";
    }

    /** A number. 64-bit integers come as strings, as proto3's JSON has it. */
    long number() {
        return value instanceof Number number ? number.longValue() : text().isEmpty() ? 0 : Long.parseLong(text());
    }

    private static Json of(Object value) {
        return value instanceof Json json ? json : new Json(value);
    }

    static Json parse(String text) {
        return new Json(new Reader(text).whole());
    }

    /** This value as JSON text. */
    @Override
    public String toString() {
        var out = new StringBuilder();
        write(value, out);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out) {
        if (value instanceof Json json) {
            write(json.value, out);
        } else if (value instanceof Map<?, ?> map) {
            var separator = "{";
            for (var member : map.entrySet()) {
                out.append(separator);
                write(member.getKey(), out);
                write(member.getValue(), out.append(':'));
                separator = ",";
            }
            out.append(map.isEmpty() ? "{}" : "}");
        } else if (value instanceof List<?> list) {
            out.append('[');
            for (int i = 0; i < list.size(); i++) write(list.get(i), i == 0 ? out : out.append(','));
            out.append(']');
        } else if (value instanceof String text) {
            out.append('"');
            text.chars().forEach(c -> {
                if (c == '"' || c == '\\') out.append('\\').append((char) c);
                else if (c < ' ') out.append(String.format("\\u%04x", c));
                else out.append((char) c);
            });
            out.append('"');
        } else if (value == null || value instanceof Number || value instanceof Boolean) {
            out.append(value);
        } else {
            throw new IllegalArgumentException("not a JSON value: " + value.getClass().getName());
        }
    }

    /** Reads one text from left to right. */
    private static final class Reader {
        private final String text;
        private int at;

        Reader(String text) {
            this.text = text;
        }

        Object whole() {
            var value = value();
            if (peek() != 0) throw wrong("one value");
            return value;
        }

        private Object value() {
            switch (peek()) {
                case '{':
                    return object();
                case '[':
                    return list();
                case '"':
                    return string();
                default:
                    return word();
            }
        }

        private Map<String, Object> object() {
            var object = new LinkedHashMap<String, Object>();
            at++;
            while (!take('}')) {
                if (!object.isEmpty()) expect(',');
                if (peek() != '"') throw wrong("a member's name");
                var name = string();
                expect(':');
                object.put(name, value());
            }
            return object;
        }

        private List<Object> list() {
            var list = new ArrayList<>();
            at++;
            while (!take(']')) {
                if (!list.isEmpty()) expect(',');
                list.add(value());
            }
            return list;
        }

        private String string() {
            var out = new StringBuilder();
            for (at++; ; at++) {
                if (at >= text.length()) throw wrong("the end of a string");
                char c = text.charAt(at);
                if (c == '"') break;
                out.append(c == '\\' ? escaped() : c);
            }
            at++;
            return out.toString();
        }

        private char escaped() {
            if (++at >= text.length()) throw wrong("an escaped character");
            char c = text.charAt(at);
            if (c != 'u') return switch (c) {
                case 'n' -> '\n';
                case 't' -> '\t';
                case 'r' -> '\r';
                case 'b' -> '\b';
                case 'f' -> '\f';
                default -> c;
            };
            if (at + 4 >= text.length()) throw wrong("four hexadecimal digits");
            at += 4;
            return (char) Integer.parseInt(text, at - 3, at + 1, 16);
        }

        private Object word() {
            int start = at;
            while (at < text.length() && ",]} \t\r\n".indexOf(text.charAt(at)) < 0) at++;
            var word = text.substring(start, at);
            switch (word) {
                case "null":
                    return null;
                case "true":
                    return true;
                case "false":
                    return false;
                default:
                    try {
                        if (word.matches("-?\\d{1,18}")) return Long.parseLong(word);
                        return Double.parseDouble(word);
                    } catch (NumberFormatException notANumber) {
                        at = start;
                        throw wrong("a value");
                    }
            }
        }

        /** The next character that is no white space; 0 at the end. */
        private char peek() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
            return at < text.length() ? text.charAt(at) : 0;
        }

        private boolean take(char c) {
            if (peek() != c) return false;
            at++;
            return true;
        }

        private void expect(char c) {
            if (!take(c)) throw wrong("`" + c + "`");
        }

        private IllegalArgumentException wrong(String expected) {
            return new IllegalArgumentException("JSON: expected " + expected + " at character " + (at + 1) + " of: " + text);
        }
    }
}
