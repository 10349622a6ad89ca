"""Every page of the console, made of what it reads: the one list, for the process and for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.operate.auditing import Audit
from orchestrator.operate.bulk import Operations
from orchestrator.operate.history import History
from orchestrator.operate.lessons import Lessons
from orchestrator.operate.letter_telling import LetterTelling
from orchestrator.operate.machine import Machine
from orchestrator.operate.pages.act import Acting, told_view
from orchestrator.operate.pages.audit import audit_view
from orchestrator.operate.pages.company import map_view
from orchestrator.operate.pages.exports import exports
from orchestrator.operate.pages.flow import flow_view, flows_view
from orchestrator.operate.pages.learn import Learning, learn_view
from orchestrator.operate.pages.letters import Redriving, letter_views
from orchestrator.operate.pages.live import Counted, Live
from orchestrator.operate.pages.operations import Changing, operation_views
from orchestrator.operate.pages.overview import overview_view
from orchestrator.operate.pages.rendering import Rendering
from orchestrator.operate.pages.saga import saga_view
from orchestrator.operate.pages.sagas import sagas_view
from orchestrator.operate.pages.saving import Saving
from orchestrator.operate.pages.services import services_view
from orchestrator.operate.pages.site import Site
from orchestrator.operate.pages.stuck import stuck_view
from orchestrator.operate.pages.topics import topic_views
from orchestrator.operate.pages.turning import Turning, turn_view
from orchestrator.operate.pages.view import View
from orchestrator.operate.reading import Reading
from orchestrator.operate.saga_telling import SagaTelling
from orchestrator.operate.saved_views import SavedViews
from orchestrator.operate.scraping import Scraping
from orchestrator.operate.tailing import Tails
from services.chassis.clock import Clock


@dataclass(frozen=True, slots=True)
class Sources:
    """What pages read and tell."""

    reading: Reading
    telling: SagaTelling
    operations: Operations
    held: Mapping[str, str]  # why operations cannot go on now, by id
    audit: Audit
    letters: LetterTelling
    lessons: Lessons
    machine: Machine
    scraping: Scraping
    history: History
    tails: Tails
    saved: SavedViews
    clock: Clock
    counted: Counted


def views(sources: Sources) -> Sequence[View]:
    return (
        overview_view(sources.reading, sources.scraping, sources.history, sources.lessons),
        stuck_view(sources.reading),
        sagas_view(sources.reading, sources.saved),
        saga_view(sources.reading),
        flows_view(sources.reading),
        flow_view(sources.reading, sources.scraping),
        told_view(sources.telling, sources.reading),
        *operation_views(sources.operations, sources.held),
        audit_view(sources.audit),
        *letter_views(sources.letters),
        map_view(sources.scraping),
        services_view(sources.scraping, sources.machine, sources.clock),
        turn_view(sources.machine),
        *topic_views(sources.reading, sources.scraping, sources.tails),
        learn_view(sources.reading, sources.lessons),
    )


def composed(sources: Sources) -> tuple[Site, Live]:
    """Whoever serves the site stops the live streams before it stops serving."""
    rendering = Rendering(sources.clock)
    live = Live(rendering, sources.clock, sources.counted)
    site = Site(views(sources), rendering, live, exports(sources.reading))
    site.add(Acting(site, sources.reading, sources.telling, sources.operations).routes())
    site.add(Changing(site, sources.operations).routes())
    site.add(Saving(site, sources.saved).routes())
    site.add(Redriving(site, sources.letters).routes())
    site.add(Learning(site, sources.lessons, sources.audit).routes())
    site.add(Turning(site, sources.machine, sources.audit).routes())
    return site, live
