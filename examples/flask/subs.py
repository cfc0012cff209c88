from flask import current_app

from rele import sub


@sub(topic="order-placed", suffix="invoices", filter_by=lambda **attrs: attrs["country"] == "ES")
def write_invoice(data, **attributes):
    currency = current_app.config["CURRENCY"]  # handlers run in the application's context
    print(f"Invoice for order {data['id']}: {data['total']} {currency}", flush=True)
