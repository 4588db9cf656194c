"""Every rendered block, by page."""

from __future__ import annotations

from functools import partial

from core.batches.rows import BatchRow
from core.calibration.record import Calibration
from core.calibration.request import CalibrationBody
from core.feedback.record import FeedbackFilter
from core.labels.check import LabelCheck
from core.questions import SearchFilter
from core.records import Classification, Explanation, FrameSheet, LabelTimeline, Progress
from core.registry import Card
from core.results import SearchResult
from core.training_requests import EvaluationRequest, TrainingRequest
from rendering.block import Block
from rendering.client.files import client_files
from rendering.commands import exit_codes_table, help_sections
from rendering.errors import errors_table
from rendering.fields import fields_table
from rendering.methods import methods_table
from rendering.metrics import label_values_table, metrics_table
from rendering.protocols import protocols_table
from rendering.queues import queues_table
from rendering.recipes import recipes_table, vifi_recipes_table
from rendering.rooms import import_rules, rooms_table
from rendering.routes import routes_table
from rendering.settings import settings_table
from rendering.transitions import transitions_table
from rendering.zoo import heads_table, zoo_summary, zoo_table
from service.bodies.feedback.bodies import FeedbackBody, FeedbackDatasetBody, FeedbackView
from service.bodies.questions import (
    BatchBody,
    ClassifyBody,
    EmbedBody,
    ExplainBody,
    FramesBody,
    QuestionBody,
    SearchBody,
    TimelineBody,
)
from service.bodies.schemas import DatasetBody, ImportBody, JobView, LabelCheckBody, LabelSetBody

_SOURCE = ("video_url", "url", "base64", "video_id")  # where the video is: described once, with the question

BLOCKS = (
    Block("README.md", "zoo", zoo_summary),
    Block("docs/models.md", "zoo", zoo_table),
    Block("docs/configuration.md", "settings", settings_table),
    Block("docs/architecture.md", "rooms", rooms_table),
    Block("docs/architecture.md", "import-rules", import_rules),
    Block("docs/architecture.md", "transitions", transitions_table),
    Block("docs/api.md", "routes", routes_table),
    Block("docs/api.md", "question", partial(fields_table, ClassifyBody)),
    Block("docs/api.md", "answer", partial(fields_table, Classification, defaults=False)),
    Block("docs/api.md", "timeline", partial(fields_table, TimelineBody)),
    Block("docs/api.md", "label-timeline", partial(fields_table, LabelTimeline, defaults=False)),
    Block("docs/api.md", "batch", partial(fields_table, BatchBody, without=QuestionBody.model_fields)),
    Block("docs/api.md", "batch-row", partial(fields_table, BatchRow, defaults=False)),
    Block("docs/feedback.md", "feedback-request", partial(fields_table, FeedbackBody)),
    Block("docs/feedback.md", "feedback", partial(fields_table, FeedbackView, defaults=False)),
    Block("docs/feedback.md", "feedback-dataset", partial(fields_table, FeedbackDatasetBody)),
    Block("docs/feedback.md", "feedback-filter", partial(fields_table, FeedbackFilter)),
    Block("docs/api.md", "search", partial(fields_table, SearchBody)),
    Block("docs/api.md", "search-filter", partial(fields_table, SearchFilter)),
    Block("docs/api.md", "search-answer", partial(fields_table, SearchResult, defaults=False)),
    Block("docs/api.md", "explain", partial(fields_table, ExplainBody)),
    Block("docs/api.md", "explanation", partial(fields_table, Explanation, defaults=False)),
    Block("docs/api.md", "frames", partial(fields_table, FramesBody)),
    Block("docs/api.md", "frame-sheet", partial(fields_table, FrameSheet, defaults=False)),
    Block("docs/api.md", "embedding", partial(fields_table, EmbedBody, without=_SOURCE)),
    Block("docs/api.md", "label-set", partial(fields_table, LabelSetBody)),
    Block("docs/api.md", "label-check", partial(fields_table, LabelCheckBody)),
    Block("docs/api.md", "label-check-answer", partial(fields_table, LabelCheck, defaults=False)),
    Block("docs/api.md", "queues", queues_table),
    Block("docs/api.md", "job", partial(fields_table, JobView, defaults=False)),
    Block("docs/api.md", "progress", partial(fields_table, Progress, defaults=False)),
    Block("docs/api.md", "dataset", partial(fields_table, DatasetBody)),
    Block("docs/api.md", "evaluation", partial(fields_table, EvaluationRequest)),
    Block("docs/api.md", "import", partial(fields_table, ImportBody)),
    Block("docs/api.md", "errors", errors_table),
    Block("docs/training.md", "training-request", partial(fields_table, TrainingRequest)),
    Block("docs/training.md", "methods", methods_table),
    Block("docs/training.md", "recipes", recipes_table),
    Block("docs/training.md", "vifi-recipes", vifi_recipes_table),
    Block("docs/training.md", "heads", heads_table),
    Block("docs/training.md", "protocols", protocols_table),
    Block("docs/training.md", "card", partial(fields_table, Card, defaults=False)),
    Block("docs/calibration.md", "calibration-request", partial(fields_table, CalibrationBody)),
    Block("docs/calibration.md", "calibration", partial(fields_table, Calibration, defaults=False)),
    Block("docs/metrics.md", "metrics", metrics_table),
    Block("docs/metrics.md", "label-values", label_values_table),
    Block("docs/cli.md", "exit-codes", exit_codes_table),
    Block("docs/cli.md", "commands", help_sections),
    *client_files(),
)
