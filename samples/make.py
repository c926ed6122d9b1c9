"""Write the GGUF files of the sample from its packed folder; the same bytes every time.

    python samples/make.py
"""

from pathlib import Path

import bitnet_engine as engine

NANO = Path(__file__).parent / "nano"

for quant_type in (engine.QuantType.I2_S, engine.QuantType.TQ2_0):
    target = NANO / f"model-{quant_type.value.lower()}.gguf"
    engine.convert(NANO / "packed", target, quant_type)
    print(target)
