"""Makes the ONNX files beside this script with scikit-learn, and what onnxruntime answers with them.

    pip install scikit-learn skl2onnx onnxruntime && python make.py

The files are kept: the tests need neither Python nor the network.
"""

import json
import pathlib
import warnings

import numpy as np
import onnxruntime
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
dice = np.random.default_rng(7)
ROWS = 240
x = dice.normal(size=(ROWS, 4)).astype(np.float32)
y = (20 + 5 * x[:, 0] - 3 * x[:, 1] * x[:, 2] + np.abs(x[:, 3])).astype(np.float32)
base = dice.choice(["K2CO3", "Cs2CO3", "NaOtBu"], size=ROWS)
heat = dice.integers(20, 120, size=ROWS)
mixed_y = y + 4.0 * (base == "Cs2CO3") + 0.05 * heat
two = np.where(y > 20, "good", "poor")
three = np.digitize(y, [18, 22])


def dense(name, model, target):
    model.fit(x, target)
    types = [("x", FloatTensorType([None, x.shape[1]]))]
    write(name, model, types, {"x": x[:40]})


def table(name, model, target, zipmap=True):
    import pandas

    frame = pandas.DataFrame({"base": base, "heat": heat, "logp": x[:, 0], "rtb": x[:, 1]})
    steps = [
        ("base", OneHotEncoder(handle_unknown="ignore"), ["base"]),
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["logp", "rtb"]),
        ("heat", MinMaxScaler(), ["heat"]),
    ]
    pipe = make_pipeline(ColumnTransformer(steps), model)
    pipe.fit(frame, target)
    types = [
        ("base", StringTensorType([None, 1])),
        ("heat", Int64TensorType([None, 1])),
        ("logp", FloatTensorType([None, 1])),
        ("rtb", FloatTensorType([None, 1])),
    ]
    asked = {
        "base": np.array(list(base[:38]) + ["unheard of", "K2CO3"]).reshape(-1, 1).astype(object),
        "heat": heat[:40].reshape(-1, 1).astype(np.int64),
        "logp": x[:40, :1].copy(),
        "rtb": x[:40, 1:2].copy(),
    }
    asked["logp"][3, 0] = np.nan
    write(name, pipe, types, asked)


def write(name, model, types, asked):
    proto = convert_sklearn(model, initial_types=types, target_opset={"": 15, "ai.onnx.ml": 3})
    (HERE / f"{name}.onnx").write_bytes(proto.SerializeToString())
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    answers = session.run(None, asked)
    told = {"inputs": {}, "order": [i.name for i in session.get_inputs()]}
    for key, values in asked.items():
        for column in range(values.shape[1]):
            one = values[:, column].tolist()
            one = [None if isinstance(v, float) and v != v else v for v in one]
            told["inputs"][key if values.shape[1] == 1 else f"{key}_{column + 1}"] = one
    if len(answers) == 1:
        told["numbers"] = [float(v) for v in np.asarray(answers[0]).reshape(-1)]
    else:
        told["labels"] = [str(v) for v in answers[0]]
        told["shares"] = [{str(k): float(v) for k, v in row.items()} for row in answers[1]]
    (HERE / f"{name}.json").write_text(json.dumps(told) + "\n")


dense("linear", LinearRegression(), y)
dense("scaled_ridge", make_pipeline(StandardScaler(), Normalizer(), Ridge()), y)
dense("tree", DecisionTreeRegressor(max_depth=5), y)
dense("forest", RandomForestRegressor(n_estimators=12, max_depth=6, random_state=1), y)
dense("extra_trees", ExtraTreesRegressor(n_estimators=8, max_depth=5, random_state=1), y)
dense("boosted", GradientBoostingRegressor(n_estimators=30, max_depth=3, random_state=1), y)
dense("network", MLPRegressor(hidden_layer_sizes=(16, 8), max_iter=400, random_state=1), y)
dense("network_tanh", MLPRegressor(hidden_layer_sizes=(12,), activation="tanh", max_iter=400, random_state=1), y)
dense("two_logistic", LogisticRegression(), two)
dense("three_logistic", LogisticRegression(), three)
dense("two_boosted", GradientBoostingClassifier(n_estimators=15, random_state=1), two)
dense("three_boosted", GradientBoostingClassifier(n_estimators=10, random_state=1), three)
dense("three_forest", RandomForestClassifier(n_estimators=9, max_depth=5, random_state=1), three)
dense("two_forest", RandomForestClassifier(n_estimators=9, max_depth=5, random_state=1), two)
dense("two_network", MLPClassifier(hidden_layer_sizes=(10,), max_iter=300, random_state=1), two)
dense("three_network", MLPClassifier(hidden_layer_sizes=(10,), activation="logistic", max_iter=300, random_state=1), three)
table("table_ridge", Ridge(), mixed_y)
table("table_boosted", GradientBoostingRegressor(n_estimators=25, random_state=1), mixed_y)
table("table_logistic", LogisticRegression(), two)
# One that is refused: support vectors are not among the operators read.
dense("refused_svm", SVR(), y)
