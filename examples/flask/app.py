"""A shop that takes orders and publishes them."""

from flask import Flask, request

import rele

app = Flask(__name__)
app.config["CURRENCY"] = "EUR"

rele_config = rele.setup(
    {
        "GC_PROJECT_ID": "my-shop",
        "APP_NAME": "shop",
        "MIDDLEWARE": ["rele.contrib.LoggingMiddleware", "rele.contrib.FlaskMiddleware"],
    },
    flask_app=app,
)


@app.post("/orders")
def order():
    data = request.get_json()
    rele.publish("order-placed", data, country=data["country"])
    return {"accepted": data["id"]}, 202
