"""From a function's signature to a definition, and to the endpoints that FastAPI gets for it."""

from .addresses import arguments_of, dependant_of_url
from .dependencies import check_dependencies, check_guards, dependant_of
from .endpoints import Declared, definition_of, endpoint_of
from .messages import Message, declare_call, declare_stream
from .watched import declare_feed, declare_handler, declare_key, declare_loader, declare_topic, endpoints
