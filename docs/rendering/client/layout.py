"""Which types the client has, in which module each of them is, and what it is called there."""

from __future__ import annotations

NAMES = {
    "AliasView": "Alias",
    "CalibrationView": "Calibration",
    "DatasetView": "Dataset",
    "EvaluationView": "Evaluation",
    "FeedbackView": "Feedback",
    "KeyView": "Key",
    "ModelView": "Model",
    "QueueView": "Queue",
    "ShadowView": "AliasShadow",
    "VideoView": "Video",
}
"""Name in the OpenAPI description → name in the client, where they differ."""

ANSWERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "questions": (
        "Answers to questions about videos.",
        (
            *("Timings", "CacheUse", "ModelRef", "VideoRef", "Prediction", "CalibrationRef", "Segment"),
            *(
                "LabelTimeline",
                "Classification",
                "FrameContribution",
                "AttentionSheet",
                "Explanation",
                "FrameSheet",
                "Embedding",
            ),
            *("Embeddings", "SearchHit", "SearchResult", "IndexFailure", "IndexResult"),
        ),
    ),
    "videos": (
        "Stored videos, batches, and what people say about videos.",
        (
            *("VideoFacts", "LastAnswer", "VideoView", "RowError", "BatchRow", "BatchResult"),
            *("PastStatement", "FeedbackView", "ImportProblem", "ImportReport"),
        ),
    ),
    "labels": (
        "Label sets, and what is wrong with labels.",
        ("Label", "LabelSet", "LabelFinding", "LabelMap", "LabelCheck"),
    ),
    "datasets": (
        "Datasets, and what training on them would bring.",
        (
            *("ClassCount", "Finding", "Item", "DatasetView", "DatasetResult"),
            *("HeadEstimate", "CurvePoint", "Cost", "Advice", "PreviewResult"),
        ),
    ),
    "models": (
        "Models, their versions and aliases.",
        (
            *("Card", "ModelView", "ModelDetail", "Shadow", "AliasView", "ShadowDifference", "ShadowCounts"),
            *("ShadowView", "Comparison", "ImportResult"),
        ),
    ),
    "judging": (
        "Results of training, evaluations and calibrations.",
        (
            *("ViewMetrics", "Headline", "Promotion", "TrainingResult", "Spread", "Row", "Draw", "ProtocolResult"),
            *("EvaluationResult", "EvaluationView", "ReliabilityBin", "Reliability", "CalibrationMeasures"),
            "CalibrationView",
        ),
    ),
    "jobs": (
        "Jobs, and what their events say.",
        ("ErrorBody", "JobProgress", "Delivery", "Webhook", "JobView", "Progress", "Metric", "Checkpoint", "LogLine"),
    ),
    "server": (
        "What a server says about itself.",
        ("EngineCandidate", "EngineInfo", "WorkerInfo", "QueueView", "Quotas", "KeyView", "Info", "Check", "Readiness"),
    ),
}
"""Module → what it is about, and its types."""

REQUESTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "requests": (
        "Fields of requests that methods of the client take by keyword. None leaves the choice to the server.",
        (
            *("LabelBody", "TimelineOptions", "QuestionBody", "KeepBody", "EmbedBody", "ExplainBody", "FramesBody"),
            *("TimelineBody", "SearchFilter", "SearchBody", "FeedbackBody", "FeedbackFilter", "FeedbackDatasetBody"),
            *("LabelSetBody", "LabelSetCheckBody"),
        ),
    ),
    "training_requests": (
        "Fields of requests for training, evaluation and calibration. None leaves the choice to the server.",
        ("TrainingOptions", "TrainingRequest", "EvaluationRequest", "CalibrationBody", "PreviewBody"),
    ),
}
"""Module → what it is about, and its types."""

_VIDEO = ("video_url", "url", "base64", "video_id")

LEFT_OUT = {
    "QuestionBody": ("labels",),
    "KeepBody": (*_VIDEO, "tags", "metadata"),
    "EmbedBody": (*_VIDEO, "texts"),
    "ExplainBody": ("labels", "label"),
    "TimelineBody": ("labels",),
    "SearchBody": ("text", "video_id", "filter"),
    "FeedbackBody": ("label", "job", "video"),
    "FeedbackDatasetBody": ("name", "from", "filter"),
    "LabelSetBody": ("labels",),
    "TrainingRequest": ("name", "dataset"),
    "EvaluationRequest": ("model", "dataset"),
    "CalibrationBody": ("model", "dataset"),
}
"""Fields of a request that a method of the client has as parameters of its own."""
