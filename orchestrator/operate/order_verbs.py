"""The verbs of the business side: order, customer, stock."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.operate.faults import told

OrderId = Annotated[str, typer.Argument(help="The order.")]
CustomerId = Annotated[str, typer.Argument(help="The customer.")]
Key = Annotated[
    str, typer.Option("--key", help="Idempotency-Key: give the same to repeat a submission.")
]
Url = Annotated[str, typer.Option("--url", help="The service; default where `baton up` put it.")]


def register(app: typer.Typer) -> None:
    order = typer.Typer(no_args_is_help=True, help="Place, see and cancel orders.")
    order.command("place")(place)
    order.command("show")(show_order)
    order.command("cancel")(cancel)
    customer = typer.Typer(no_args_is_help=True, help="Register and see customers.")
    customer.command("register")(register_customer)
    customer.command("show")(show_customer)
    stock = typer.Typer(no_args_is_help=True, help="See stock and take in deliveries.")
    stock.command("show")(show_stock)
    stock.command("receive")(receive)
    app.add_typer(order, name="order")
    app.add_typer(customer, name="customer")
    app.add_typer(stock, name="stock")


def place(
    context: typer.Context,
    lines: Annotated[
        list[str],
        typer.Argument(
            metavar="SKU:QUANTITY:PRICE...",
            help="A line of the order each, the price of one piece in pence; or one JSON file"
            " with the whole order, - for standard input.",
        ),
    ],
    *,
    order_id: Annotated[str, typer.Option("--id", help="Default: the service makes one.")] = "",
    customer: Annotated[str, typer.Option(help="Whose order; default: a guest's.")] = "",
    country: Annotated[str, typer.Option(help="As the shop writes it.")] = "United Kingdom",
    payment: Annotated[str, typer.Option(help="The payment provider's token.")] = "tok_ok",
    key: Key = "",
    url: Url = "",
) -> None:
    """Place an order.

    For example: baton order place teapot:2:1250 cup:6:300 --country France
    """
    from orchestrator.operate import business  # noqa: PLC0415  keeps `--help` quick, as below

    with told(context.obj):
        if len(lines) == 1 and ":" not in lines[0]:
            body = business.order_in(lines[0])
        else:
            body = business.order_of(
                lines,
                order_id=order_id,
                customer_id=customer,
                country=country,
                payment_method=payment,
            )
        business.place(context.obj, body, key=key, url=url)


def show_order(context: typer.Context, order_id: OrderId, *, url: Url = "") -> None:
    """What the orders service knows of an order."""
    from orchestrator.operate import business  # noqa: PLC0415

    with told(context.obj):
        business.show(context.obj, "orders", "/orders", order_id, url=url)


def cancel(
    context: typer.Context,
    order_id: OrderId,
    *,
    reason: Annotated[str, typer.Option(help="Why; the customer's words.")],
    key: Key = "",
    url: Url = "",
) -> None:
    """Ask to cancel an order. It may be too late: then the outcome says so."""
    from orchestrator.operate import business  # noqa: PLC0415

    with told(context.obj):
        business.cancel(context.obj, order_id, reason, key=key, url=url)


def register_customer(
    context: typer.Context,
    customer_id: CustomerId,
    *,
    name: Annotated[str, typer.Option(help="How the customer is addressed.")],
    email: Annotated[str, typer.Option(help="Where mail goes.")],
    country: Annotated[str, typer.Option(help="As the shop writes it.")] = "United Kingdom",
) -> None:
    """Publish that somebody became a customer; the onboarding follows."""
    from orchestrator.operate import business  # noqa: PLC0415

    with told(context.obj):
        business.register(context.obj, customer_id, name=name, email=email, country=country)


def show_customer(context: typer.Context, customer_id: CustomerId, *, url: Url = "") -> None:
    """A customer's record, totals and orders."""
    from orchestrator.operate import business  # noqa: PLC0415

    with told(context.obj):
        business.show(context.obj, "crm", "/customers", customer_id, url=url)


def show_stock(
    context: typer.Context,
    sku: Annotated[str, typer.Argument(help="One product; default all.")] = "",
    *,
    url: Url = "",
) -> None:
    """Stock by product: on hand, reserved, gone."""
    from orchestrator.operate import business  # noqa: PLC0415

    with told(context.obj):
        business.show_stock(context.obj, sku, url=url)


def receive(
    context: typer.Context,
    items: Annotated[list[str], typer.Argument(metavar="SKU:QUANTITY...", help="What arrived.")],
    *,
    delivery: Annotated[
        str, typer.Option("--delivery", help="Its id; the same again counts once.")
    ] = "",
) -> None:
    """Publish that a delivery arrived."""
    from orchestrator.operate import business  # noqa: PLC0415

    with told(context.obj):
        business.receive(context.obj, items, delivery_id=delivery)
