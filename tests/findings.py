"""What a campaign of kills or power cuts must not find, and what an acknowledged call leads to."""

from dataclasses import dataclass, field, fields

FINAL = frozenset({"ACKNOWLEDGED", "CANCELLED"})
LEADS_TO = {"complete": "ACKNOWLEDGED", "cancel": "CANCELLED", "suspend": "SUSPENDED"}


@dataclass(slots=True)
class Findings:
    """What must not be there, each as a sentence."""

    lost: list[str] = field(default_factory=list)
    """Jobs that are gone, or not as they were acknowledged."""
    wrong: list[str] = field(default_factory=list)
    """Files that are not one whole version of what the origin serves, missing, or not where they should be."""
    double: list[str] = field(default_factory=list)
    """Events: twice, missing, changed, or none that can follow; jobs made twice."""
    left: list[str] = field(default_factory=list)
    """Temporary files, and whatever else nobody asked for."""
    failed: list[str] = field(default_factory=list)
    """Calls that were refused without a reason, and starts that failed."""

    def __bool__(self) -> bool:
        return any(self.sentences())

    def sentences(self) -> list[str]:
        return [f"{kind.name}: {sentence}" for kind in fields(self) for sentence in getattr(self, kind.name)]

    def add(self, other: "Findings", where: str = "") -> None:
        for kind in fields(self):
            getattr(self, kind.name).extend(where + sentence for sentence in getattr(other, kind.name))
