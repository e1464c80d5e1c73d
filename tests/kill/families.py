"""The workflows of the family kill test: a parent, and children that send signals round in a ring. Each also takes updates."""

from datetime import timedelta

from temporalio import workflow

CHILDREN = 3
SIGNALS_PER_CHILD = 5
# Texts of the updates that every run gets, which are the ends of their ids too.
UPDATES = ["at-once", "later"]
# What a killed worker had is with another one after this.
TASK_TIMEOUT = timedelta(seconds=2)


class Updated:
    """Keeps what updates have added, in its order."""

    def __init__(self) -> None:
        self.added: list[str] = []

    @workflow.update
    async def add(self, text: str) -> list[object]:
        """Answers with the text and its place, which is another one if it was added before."""
        place = len(self.added)
        self.added.append(text)
        if text == "later":
            await workflow.sleep(0.05)
        return [text, place]

    async def all_added(self) -> list[str]:
        await workflow.wait_condition(lambda: len(self.added) >= len(UPDATES) and workflow.all_handlers_finished())
        return self.added


@workflow.defn
class Child(Updated):
    """Once it may go, sends its signals to the next child; returns what it has heard from the one before it, and its updates."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go = False
        self.heard: list[str] = []

    @workflow.signal
    def go(self) -> None:
        self.may_go = True

    @workflow.signal
    def note(self, text: str) -> None:
        self.heard.append(text)

    @workflow.run
    async def run(self, number: int, next_child: str) -> list[list[str]]:
        await workflow.wait_condition(lambda: self.may_go)
        to = workflow.get_external_workflow_handle(next_child)
        for signal in range(SIGNALS_PER_CHILD):
            await to.signal("note", f"{number}-{signal}")
        await workflow.wait_condition(lambda: len(self.heard) >= SIGNALS_PER_CHILD)
        return [self.heard, await self.all_added()]


@workflow.defn
class Parent(Updated):
    """Starts its children, lets them go when all are there, and returns its own updates and what each child came to."""

    @workflow.run
    async def run(self) -> list[object]:
        own = workflow.info().workflow_id
        ids = children_of(own)
        children = [
            await workflow.start_child_workflow(
                Child.run, args=[number, ids[(number + 1) % CHILDREN]], id=ids[number], task_timeout=TASK_TIMEOUT
            )
            for number in range(CHILDREN)
        ]
        for child in children:
            await child.signal(Child.go)
        results = [await child for child in children]
        return [await self.all_added(), results]


def children_of(parent: str) -> list[str]:
    """The ids of its children."""
    return [f"{parent}-child-{number}" for number in range(CHILDREN)]


def expected() -> list[list[str]]:
    """What the children of a parent must hear: every signal once, in the order in which it was sent."""
    before = [(number - 1) % CHILDREN for number in range(CHILDREN)]
    return [[f"{sender}-{signal}" for signal in range(SIGNALS_PER_CHILD)] for sender in before]
