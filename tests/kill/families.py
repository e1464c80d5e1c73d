"""The workflows of the family kill test: a parent, and children that send signals round in a ring."""

from temporalio import workflow

CHILDREN = 3
SIGNALS_PER_CHILD = 5


@workflow.defn
class Child:
    """Once it may go, sends its signals to the next child; returns what it has heard from the one before it."""

    def __init__(self) -> None:
        self.may_go = False
        self.heard: list[str] = []

    @workflow.signal
    def go(self) -> None:
        self.may_go = True

    @workflow.signal
    def note(self, text: str) -> None:
        self.heard.append(text)

    @workflow.run
    async def run(self, number: int, next_child: str) -> list[str]:
        await workflow.wait_condition(lambda: self.may_go)
        to = workflow.get_external_workflow_handle(next_child)
        for signal in range(SIGNALS_PER_CHILD):
            await to.signal("note", f"{number}-{signal}")
        await workflow.wait_condition(lambda: len(self.heard) >= SIGNALS_PER_CHILD)
        return self.heard


@workflow.defn
class Parent:
    """Starts its children, lets them go when all are there, and returns what each has heard."""

    @workflow.run
    async def run(self) -> list[list[str]]:
        own = workflow.info().workflow_id
        ids = [f"{own}-child-{number}" for number in range(CHILDREN)]
        children = [
            await workflow.start_child_workflow(Child.run, args=[number, ids[(number + 1) % CHILDREN]], id=ids[number])
            for number in range(CHILDREN)
        ]
        for child in children:
            await child.signal(Child.go)
        return [await child for child in children]


def expected() -> list[list[str]]:
    """What a parent must come to: every signal once, in the order in which it was sent."""
    before = [(number - 1) % CHILDREN for number in range(CHILDREN)]
    return [[f"{sender}-{signal}" for signal in range(SIGNALS_PER_CHILD)] for sender in before]
