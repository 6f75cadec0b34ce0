from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
REASON_NOT_ADMITTED: Reason
REASON_OLD_EPOCH: Reason
REASON_TOKEN_EXPIRED: Reason
REASON_TOKEN_SPENT: Reason
REASON_UNSPECIFIED: Reason
REASON_VERSION: Reason
SECRET_NODE_KEY: Secret
SECRET_TOKEN: Secret
SECRET_UNSPECIFIED: Secret
SUITE_AES_256_GCM: Suite
SUITE_CHACHA20_POLY1305: Suite
SUITE_UNSPECIFIED: Suite
VIEW_CONFIGURED: View
VIEW_DISCOVERED: View
VIEW_UNSPECIFIED: View

class Bye(_message.Message):
    class Why(int, metaclass=_enum_type_wrapper.EnumTypeWrapper): ...
    WHY_CLOSING: Bye.Why
    WHY_FIELD_NUMBER: _ClassVar[int]
    WHY_MOVED: Bye.Why
    WHY_UNSPECIFIED: Bye.Why
    why: Bye.Why
    def __init__(self, why: _Optional[_Union[Bye.Why, str]] = ...) -> None: ...

class Entry(_message.Message):
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: bytes
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., value: _Optional[bytes] = ...) -> None: ...

class Epoch(_message.Message):
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    counter: int
    term: int
    def __init__(self, term: _Optional[int] = ..., counter: _Optional[int] = ...) -> None: ...

class Fragment(_message.Message):
    COUNT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    count: int
    index: int
    part: bytes
    transfer: int
    def __init__(self, transfer: _Optional[int] = ..., index: _Optional[int] = ..., count: _Optional[int] = ..., part: _Optional[bytes] = ...) -> None: ...

class FragmentAck(_message.Message):
    BEYOND_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    beyond: bytes
    next: int
    transfer: int
    def __init__(self, transfer: _Optional[int] = ..., next: _Optional[int] = ..., beyond: _Optional[bytes] = ...) -> None: ...

class Frame(_message.Message):
    ASK_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    FRAGMENT_ACK_FIELD_NUMBER: _ClassVar[int]
    FRAGMENT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ask: bool
    bye: Bye
    fragment: Fragment
    fragment_ack: FragmentAck
    held: _containers.RepeatedCompositeFieldContainer[Held]
    status: _containers.RepeatedCompositeFieldContainer[Status]
    def __init__(self, ask: bool = ..., status: _Optional[_Iterable[_Union[Status, _Mapping[str, object]]]] = ..., held: _Optional[_Iterable[_Union[Held, _Mapping[str, object]]]] = ..., fragment: _Optional[_Union[Fragment, _Mapping[str, object]]] = ..., fragment_ack: _Optional[_Union[FragmentAck, _Mapping[str, object]]] = ..., bye: _Optional[_Union[Bye, _Mapping[str, object]]] = ...) -> None: ...

class Held(_message.Message):
    DOUBTFUL_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    doubtful: bool
    epoch: Epoch
    node: str
    version: int
    view: View
    def __init__(self, node: _Optional[str] = ..., view: _Optional[_Union[View, str]] = ..., epoch: _Optional[_Union[Epoch, _Mapping[str, object]]] = ..., version: _Optional[int] = ..., doubtful: bool = ...) -> None: ...

class Hello(_message.Message):
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    RENEWAL_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    SUITES_FIELD_NUMBER: _ClassVar[int]
    VERSION_MAX_FIELD_NUMBER: _ClassVar[int]
    VERSION_MIN_FIELD_NUMBER: _ClassVar[int]
    epoch: Epoch
    features: int
    node: str
    nonce: bytes
    padding: bytes
    public_key: bytes
    renewal: bool
    secret: Secret
    suites: _containers.RepeatedScalarFieldContainer[Suite]
    version_max: int
    version_min: int
    def __init__(self, node: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping[str, object]]] = ..., secret: _Optional[_Union[Secret, str]] = ..., nonce: _Optional[bytes] = ..., public_key: _Optional[bytes] = ..., version_min: _Optional[int] = ..., version_max: _Optional[int] = ..., suites: _Optional[_Iterable[_Union[Suite, str]]] = ..., features: _Optional[int] = ..., renewal: bool = ..., padding: _Optional[bytes] = ...) -> None: ...

class Record(_message.Message):
    BASE_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    base: int
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    epoch: Epoch
    node: str
    version: int
    view: View
    def __init__(self, node: _Optional[str] = ..., view: _Optional[_Union[View, str]] = ..., epoch: _Optional[_Union[Epoch, _Mapping[str, object]]] = ..., base: _Optional[int] = ..., version: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping[str, object]]]] = ...) -> None: ...

class Refusal(_message.Message):
    NONCE_PREFIX_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERSION_MAX_FIELD_NUMBER: _ClassVar[int]
    VERSION_MIN_FIELD_NUMBER: _ClassVar[int]
    nonce_prefix: bytes
    reason: Reason
    version_max: int
    version_min: int
    def __init__(self, nonce_prefix: _Optional[bytes] = ..., reason: _Optional[_Union[Reason, str]] = ..., version_min: _Optional[int] = ..., version_max: _Optional[int] = ...) -> None: ...

class SavedChild(_message.Message):
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    DISCOVERED_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NODE_KEY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    configured: Record
    discovered: Record
    epoch: Epoch
    node: str
    node_key: bytes
    token: bytes
    def __init__(self, node: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping[str, object]]] = ..., token: _Optional[bytes] = ..., node_key: _Optional[bytes] = ..., discovered: _Optional[_Union[Record, _Mapping[str, object]]] = ..., configured: _Optional[_Union[Record, _Mapping[str, object]]] = ...) -> None: ...

class Status(_message.Message):
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    epoch: Epoch
    hash: bytes
    node: str
    version: int
    view: View
    def __init__(self, node: _Optional[str] = ..., view: _Optional[_Union[View, str]] = ..., epoch: _Optional[_Union[Epoch, _Mapping[str, object]]] = ..., version: _Optional[int] = ..., hash: _Optional[bytes] = ...) -> None: ...

class Update(_message.Message):
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping[str, object]]]] = ...) -> None: ...

class Welcome(_message.Message):
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    LOST_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SUITE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    features: int
    heartbeat_ms: int
    key_id: int
    lost_after_ms: int
    nonce: bytes
    public_key: bytes
    suite: Suite
    version: int
    def __init__(self, nonce: _Optional[bytes] = ..., public_key: _Optional[bytes] = ..., key_id: _Optional[int] = ..., version: _Optional[int] = ..., suite: _Optional[_Union[Suite, str]] = ..., features: _Optional[int] = ..., heartbeat_ms: _Optional[int] = ..., lost_after_ms: _Optional[int] = ...) -> None: ...

class Secret(int, metaclass=_enum_type_wrapper.EnumTypeWrapper): ...

class Suite(int, metaclass=_enum_type_wrapper.EnumTypeWrapper): ...

class View(int, metaclass=_enum_type_wrapper.EnumTypeWrapper): ...

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper): ...
