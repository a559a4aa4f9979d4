"""Asking a chat model: any LangChain model, an answer of an agreed form, counted and capped.

Nothing of LangChain is imported before a model is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gmem.errors import InvalidInput, MissingExtra, ModelError
from gmem.flow import Flow, call, either
from gmem.meter import Meter, Usage
from gmem.text import tokens

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from pydantic import BaseModel

    from gmem.answers import Reading
    from gmem.prompts import Prompt

    T = TypeVar("T", bound=BaseModel)

__all__ = ["ChatModel", "ModelFailure", "Usage"]

ANSWER_TOKENS = 1_000
"""Tokens set aside for an answer while it is awaited."""
TIMEOUT = 60.0
RETRIES = 2
"""Seconds for one request, and how often the provider's own client repeats it, for models made from a name."""
_FORM_UNKNOWN = (400, 415, 422, 501)
"""HTTP answers of servers that do not know the format that they were asked to hold the model to."""
_PACKAGES = {"azure_openai": "openai", "bedrock": "aws", "bedrock_converse": "aws"}
"""Providers whose package is not called like them."""


class ModelFailure(ModelError):
    """A chat model gave no answer that could be used.

    Attributes:
        kind: `failed` (no answer came), `refused` (the model declined) or `unusable` (never in the
            agreed form).
    """

    def __init__(self, kind: Literal["failed", "refused", "unusable"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _FormUnknown(Exception):
    """The server refused a request, maybe since it does not know the form that it named."""


class ChatModel:
    """A chat model that answers in an agreed form, with its use counted and capped.

    Where the model can be held to a form (`with_structured_output`) it is; where it cannot, or its
    server does not know how, it is asked for JSON in words.  Either way the answer is read the same
    way: from a tool call or out of the text.  An answer that cannot be read is shown to the model once,
    with what was wrong.

    Args:
        model: A LangChain chat model, or `"<provider>:<model>"` such as `"openai:gpt-5-mini"` for
            LangChain's `init_chat_model`; such a model is made when it is first asked.
        method: How to hold the model to a form, as its `with_structured_output` names it
            (`"json_schema"`, `"function_calling"`); `"words"` to ask for JSON in words.  None: the
            model's own default.
        max_calls: Most calls, all operations together.
        max_tokens: Most tokens, sent and received.  A call is refused if its prompt and an answer of
            usual length (1,000 tokens) might cross it.
        options: For a model given by its name: further arguments, such as `{"temperature": 0}`.
            Unless they say otherwise, a request may take 60 s and is repeated twice.

    Raises:
        InvalidInput: An argument makes no sense.
        MissingExtra: `model` is a name, and LangChain or the provider's package is not installed.
    """

    def __init__(
        self,
        model: str | BaseChatModel,
        *,
        method: str | None = None,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._model: Any = None
        self._options = dict(options or {})
        if isinstance(model, str):
            _check_name(model)
            self.name = model
        else:
            if not (callable(getattr(model, "invoke", None)) and callable(getattr(model, "ainvoke", None))):
                raise InvalidInput(
                    "model must be a LangChain chat model or a name such as 'openai:gpt-5-mini', "
                    f"not {type(model).__name__}"
                )
            if options:
                raise InvalidInput("options are for a model given by its name; set them on the model itself")
            self._model = model
            told = getattr(model, "model_name", None) or getattr(model, "model", None)
            self.name = f"{type(model).__name__} {told}" if isinstance(told, str) else type(model).__name__
        self._method = method
        self._meter = Meter(self.name, max_calls, max_tokens)
        self._runnables: dict[type[BaseModel], Any] = {}
        self._unheld: set[type[BaseModel]] = set()
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"ChatModel({self.name!r})"

    @property
    def usage(self) -> Usage:
        """What was used so far, all operations together."""
        return sum(self._meter.snapshot().values(), Usage())

    @property
    def usage_by_operation(self) -> dict[str, Usage]:
        """What was used so far, by the name of the operation."""
        return self._meter.snapshot()

    def ask(
        self,
        operation: str,
        prompt: Prompt,
        form: type[T],
        *,
        room: int | None = None,
        answer_tokens: int = ANSWER_TOKENS,
    ) -> Flow[T]:
        """Ask for an answer of a form: one call, and a second one if the first answer cannot be used.

        Args:
            operation: Name to count it under.
            prompt: What to ask.
            form: What the answer must be.
            room: Characters that both prompts together may take; a repair's is cut to what the first
                one left, an empty answer's question is repeated whole.
            answer_tokens: Tokens to set aside for the answer.

        Returns:
            The answer.

        Raises:
            ModelFailure: No answer came, the model declined, or it never kept to the form.
            BudgetExceeded: A cap would be crossed; the call was not made.
            MissingExtra: The provider's package is not installed.
        """
        yield from call(self.load)
        from gmem import prompts

        try:
            read = yield from self._attempt(operation, prompt, form, answer_tokens)
        except _FormUnknown:
            read = yield from self._attempt(operation, prompt, form, answer_tokens, held=False)
            with self._lock:
                self._unheld.add(form)
        else:
            if read.value is None:
                left = (room or prompts.LIMIT) - prompt.characters - prompts.form_size(form)
                again = prompts.repair_prompt(read.text, read.problem, form, left) if read.text else prompt
                read = yield from self._attempt(operation, again, form, answer_tokens, repair=True)
        if read.value is None:
            raise ModelFailure(
                "unusable",
                f"{self.name} did not answer {operation!r} in the agreed form, nor when asked again: {read.problem}",
            )
        return read.value

    # --- one call -------------------------------------------------------------------------------

    def _attempt(
        self, operation: str, prompt: Prompt, form: type[T], answer_tokens: int, *,
        held: bool = True, repair: bool = False,
    ) -> Flow[Reading[T]]:  # fmt: skip
        from gmem import answers, prompts

        size = prompt.characters + prompts.form_size(form)
        estimate = tokens(prompt.system) + tokens(prompt.user) + prompts.form_size(form) // 4
        runnable: Any = self._held(form) if held else None
        held = runnable is not None
        if not held:
            runnable, prompt = self._model, prompts.in_words(prompt, form)
        told = prompt.messages
        config = {"run_name": f"gmem {operation}", "tags": ["gmem", "nostream"]}  # not into a user's token stream
        booked = Usage(calls=1, repairs=int(repair), prompt_characters=size)
        self._meter.reserve(operation, booked, estimate + answer_tokens)
        used = (0, 0)
        try:
            try:
                raw = yield from either(lambda: runnable.invoke(told, config), lambda: runnable.ainvoke(told, config))
            except Exception as error:
                raw = answers.cut_short(error)
                if raw is None:
                    used = (0 if _status(error) else estimate, 0)  # a request without a reply may have been served
                    if held and not repair and _status(error) in _FORM_UNKNOWN:
                        raise _FormUnknown from error
                    raise ModelFailure("failed", f"{self.name} failed at {operation!r}: {_told(error)}") from error
            message, parsed = answers.unwrapped(raw)
            used = answers.tokens_of(message, estimate)
            read = answers.read_message(message, parsed, form)
            if read.refused:
                raise ModelFailure("refused", f"{self.name} declined to answer {operation!r}; it is not asked again")
            return read
        finally:
            self._meter.settle(operation, estimate + answer_tokens, *used)

    # --- the model ------------------------------------------------------------------------------

    def load(self) -> None:
        """Make the model, if it was given by its name and is not made yet.

        Raises:
            MissingExtra: The provider's package is not installed.
            ModelFailure: The provider's package refused to make it.
        """
        import_module("gmem.prompts")  # here, since in async use this runs in a thread
        with self._lock:
            if self._model is not None:
                return
            try:
                make = import_module("langchain.chat_models").init_chat_model
                self._model = make(self.name, **{"timeout": TIMEOUT, "max_retries": RETRIES, **self._options})
            except ImportError as error:
                raise MissingExtra(_missing(self.name)) from error
            except Exception as error:  # each provider has errors of its own for a missing key or a bad option
                raise ModelFailure(
                    "failed",
                    f"{self.name} could not be made: {type(error).__name__}. Check its name, the options, and "
                    "that the provider's API key is set; or pass a chat model object.",
                ) from error

    def _held(self, form: type[BaseModel]) -> Any:
        """Give the model held to a form, None where it cannot be."""
        with self._lock:
            if form in self._unheld or self._method == "words":
                return None
            if form not in self._runnables:
                self._runnables[form] = _structured(self._model, form, self._method)
            return self._runnables[form]


def _structured(model: Any, form: type[BaseModel], method: str | None) -> Any:
    """Hold a model to a form.

    It is given as a plain JSON schema, not as a class: some clients check an answer against a class by
    themselves and throw the answer and its token count away when it does not fit.
    """
    from gmem import answers

    hold = getattr(model, "with_structured_output", None)
    if hold is None:
        return None
    options: dict[str, Any] = {"include_raw": True}
    if method is not None:
        options["method"] = method
    try:
        if "strict" in signature(hold).parameters:
            options["strict"] = True
        chain = hold(answers.wire_schema(form), **options)
    except (NotImplementedError, AttributeError, TypeError, ValueError):
        if method is not None:
            raise InvalidInput(f"{type(model).__name__} cannot be held to a form by method={method!r}") from None
        return None
    # Only the model of the chain "model, then parser": LangChain's parser takes time quadratic in the
    # length of an answer that is not JSON (44 s for 60,000 characters), and we read the message ourselves.
    steps = getattr(getattr(chain, "first", None), "steps__", None)
    return steps["raw"] if isinstance(steps, Mapping) and set(steps) == {"raw"} else chain


# --- what went wrong ------------------------------------------------------------------------------


def _status(error: BaseException) -> int:
    """Give the HTTP status of a provider's error, 0 if there is none."""
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) and status >= 400 else 0


def _told(error: Exception) -> str:
    """Say what failed, without the text of the error: it may quote prompts, answers or keys."""
    status = _status(error)
    kind = type(error).__name__ + (f" (HTTP {status})" if status else "")
    if status in (401, 403):
        return f"{kind}. Check the API key and its rights."
    if status == 429:
        return f"{kind}. The provider's rate limit or quota is used up; wait, or use another model."
    return f"{kind}. The cause is chained to this error; check the network, the address and the model's name."


def _check_name(spec: str) -> None:
    provider, colon, model = spec.partition(":")
    if not (colon and provider.strip() and model.strip()) or any(c.isspace() for c in spec):
        raise InvalidInput(
            f"Unknown model {spec!r}. Use '<provider>:<model>' such as 'openai:gpt-5-mini', or pass a LangChain "
            "chat model object."
        )
    if find_spec("langchain") is None:
        raise MissingExtra(_missing(spec))


def _missing(spec: str) -> str:
    provider = spec.partition(":")[0]
    package = "langchain-" + _PACKAGES.get(provider, provider).replace("_", "-")
    return (
        f"The model {spec} needs LangChain and the provider's package: pip install langchain {package}. You can "
        "also pass a chat model object of that package."
    )
