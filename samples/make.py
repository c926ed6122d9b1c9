"""Write every other form of the sample from its master; the same bytes every time.

python samples/make.py
"""

import shutil
from pathlib import Path

import bitnet_engine as engine

NANO = Path(__file__).parent / "nano"
FORMS = {
    engine.QuantType.HF_PACKED: NANO / "packed",
    engine.QuantType.I2_S: NANO / "model-i2_s.gguf",
    engine.QuantType.TQ1_0: NANO / "model-tq1_0.gguf",
    engine.QuantType.TQ2_0: NANO / "model-tq2_0.gguf",
}

shutil.rmtree(FORMS[engine.QuantType.HF_PACKED], ignore_errors=True)
for quant_type, target in FORMS.items():
    engine.convert(NANO / "master", target, quant_type, force=True)
    print(target)
