"""Do two tokenizers turn the same text into the same ids? A battery of hard strings, and the corpus.

    parity = compare_tokenizers(reference, candidate, corpus.documents())
    parity.rate, parity.first_difference                # 0.9879…, where the first ids differ, to the byte

The battery holds what has told real tokenizer bugs apart: digit grouping, contractions, newlines after
punctuation (a missing `tokenizer.ggml.pre`), specials written as text, split code points. A whole string
counts as equal or not, the opening id (BOS) as one string more. Knows no model.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from bitnet_parity.corpus import Document
from bitnet_parity.sources import TokenizerSource

# Enough ids and characters to see the difference, few enough for a line of a report.
_IDS_SHOWN = 12
_TEXT_SHOWN = 40

BATTERY: tuple[str, ...] = (
    "",
    # One character of each kind, alone.
    " ",
    "\n",
    "\t",
    "a",
    "é",
    "0",
    "\u00a0",
    # Words and spaces.
    "Hello world",
    " Hello world",
    "Hello  world",
    "Hello   world ",
    "   leading and trailing   ",
    "The capital of France is",
    "the quick brown fox jumps over the lazy dog",
    "UPPER lower Mixed camelCase snake_case kebab-case",
    "tab\tseparated\t\tvalues",
    " " * 33,
    # Newlines, next to spaces and to punctuation.
    "Hi!\n",
    "line one\nline two\n\nline four",
    "windows\r\nline ends\r\n",
    "\n\n\n",
    " \n \n ",
    "end.\n\n  indented",
    # Digits: groups of three in Llama-3, one by one or unlimited elsewhere.
    "1",
    "12",
    "123",
    "1234",
    "12345678901234567890",
    "3.14159 2,718,281 -1e-10 0x1F 1/2",
    "2024-02-29T23:59:59Z",
    "$1,234.56 + 7% = ?",
    # Apostrophes: straight, curly, capital.
    "It's 12345, I'LL go",
    "don't can't we'll they've I'm he'd you're",
    "DON'T CAN'T WE'LL",
    "it’s ‘quoted’ and “double”",
    "'tis 'twas rock'n'roll",
    # Code.
    "foo.bar(x_1)",
    "def f(x: int) -> int:\n    return x ** 2  # square\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i]; }",
    '{"key": [1, 2.5, null], "other": "va\\"lue"}',
    "<div class='x'>&amp;</div>",
    "SELECT * FROM t WHERE a != 'b';",
    "https://example.org/a/b?c=d&e=f#g",
    "C:\\Users\\name\\file.txt",
    "!@#$%^&*()_+-=[]{}|;:'\",.<>/?`~",
    "... --- ??? !!!",
    "$$x^2 + y^2 = z^2$$",
    # Other scripts.
    "naïve café façade Ångström",
    "Straße, Größe, ÜBER",
    "e\u0301 is not \u00e9 to a byte",
    "Привет, мир",
    "Γειά σου Κόσμε",
    "שלום עולם",
    "مرحبا بالعالم ١٢٣",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "你好，世界。今天是2024年。",
    "こんにちは世界、カタカナ",
    "안녕하세요 세계",
    "mixed 中文 and עברית and English",
    # Emoji: plain, skin tone, ZWJ family, flag, keycap.
    "😀 👍🏽 👨‍👩‍👧‍👦 🇫🇷 1️⃣",
    "a😀b",
    # Characters that are not seen.
    "zero\u200bwidth\u200djoin\ufeffmark",
    "\u202eright to left\u202c",
    "control \x01\x02\x1b[0m \x7f end",
    "nul\x00inside",
    "\u2028line\u2029paragraph",
    "\ufffd replacement",
    "\U0010ffff",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ½ ² ①",
    # Specials as text, and text that looks like chat.
    "<|begin_of_text|>",
    "<|end_of_text|><|eot_id|>",
    "User: Hello<|eot_id|>Assistant:",
    "<s>[INST] Hi [/INST]</s>",
    "<unk> <pad> [MASK] <mask>",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "Human: What is 2+2?\n\nBITNETAssistant: 4",
    "<|begin_of_text",
    "▁SentencePiece▁meta",
    "Ġbyte Ċ level",
    # Long and repeated.
    "a" * 257,
    "ab" * 128,
    "=" * 80,
    "Pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism",
    "word " * 50,
)


@dataclass(frozen=True)
class TokenizerDifference:
    """The first place where ids differ.

    `string` names the text: `battery 17` (counted from 0), a document, or `bos`. The ids agree before
    `index`; that place is `byte_offset` bytes of UTF-8 into the text. `text` shows some characters around
    it, `ids_*` some ids from `index` on (none: that side has ended).
    """

    string: str
    text: str
    byte_offset: int
    index: int
    ids_reference: tuple[int, ...]
    ids_candidate: tuple[int, ...]


@dataclass(frozen=True)
class TokenizerParity:
    """How many strings have the same ids on both sides, and the first that has not."""

    strings: int
    equal: int
    first_difference: TokenizerDifference | None

    @property
    def rate(self) -> float:
        """Share of equal strings."""
        return self.equal / self.strings

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the rate as JSON."""
        difference = self.first_difference
        return {
            "strings": self.strings,
            "equal": self.equal,
            "rate": self.rate,
            "first_difference": None if difference is None else asdict(difference),
        }


def compare_tokenizers(
    reference: TokenizerSource,
    candidate: TokenizerSource,
    documents: Iterable[Document],
    keep: Callable[[Document, list[int]], None] | None = None,
) -> TokenizerParity:
    """Compare the ids of BOS, of the battery and of every document, holding one document at a time.

    `keep` is handed each document with the reference's ids, so that nobody has to make them twice.
    """
    equal, strings, first = int(reference.bos == candidate.bos), 1, None
    if not equal:
        first = TokenizerDifference("bos", "", 0, 0, _some(reference.bos), _some(candidate.bos))
    battery = (Document(f"battery {i}", text) for i, text in enumerate(BATTERY))
    for document in chain(battery, documents):
        ids = reference.encode(document.text, bos=False)
        ids_candidate = candidate.encode(document.text, bos=False)
        strings += 1
        # With another opening id no sequence that a model is fed is the same.
        equal += ids == ids_candidate and reference.bos == candidate.bos
        if ids != ids_candidate and first is None:
            first = _difference(document, ids, ids_candidate, reference)
        if keep is not None and strings > len(BATTERY) + 1:
            keep(document, ids)
    return TokenizerParity(strings, equal, first)


def _difference(
    document: Document, reference: list[int], candidate: list[int], tokenizer: TokenizerSource
) -> TokenizerDifference:
    pairs = enumerate(zip(reference, candidate, strict=False))
    index = next((i for i, (a, b) in pairs if a != b), min(len(reference), len(candidate)))
    at = _common_prefix(tokenizer.decode(reference[:index]), document.text)
    shown = slice(index, index + _IDS_SHOWN)
    return TokenizerDifference(
        string=document.name,
        text=document.text[max(0, at - _TEXT_SHOWN) : at + _TEXT_SHOWN],
        byte_offset=len(document.text[:at].encode()),
        index=index,
        ids_reference=tuple(reference[shown]),
        ids_candidate=tuple(candidate[shown]),
    )


def _common_prefix(decoded: str, text: str) -> int:
    """Count the characters that agree: ids can end inside a character, which then decodes to U+FFFD."""
    pairs = enumerate(zip(decoded, text, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(decoded), len(text)))


def _some(token: int | None) -> tuple[int, ...]:
    return () if token is None else (token,)
