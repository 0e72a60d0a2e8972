"""Composition root: one Chalice app out of the domains' blueprints. Nothing else happens here."""

from chalice.app import Chalice

from chalicelib.billing import handlers as billing_handlers
from chalicelib.billing import routes as billing_routes
from chalicelib.billing import subscription_routes, usage_routes
from chalicelib.cases import routes as cases_routes
from chalicelib.connectors import handlers as connectors_handlers
from chalicelib.connectors import mapping_routes, quarantine_routes
from chalicelib.connectors import routes as connectors_routes
from chalicelib.console import routes as console_routes
from chalicelib.feed import handlers as feed_handlers
from chalicelib.feed import routes as feed_routes
from chalicelib.identity import authorizer, me_routes, people_routes, signup_routes
from chalicelib.identity import routes as identity_routes
from chalicelib.leaving import handlers as leaving_handlers
from chalicelib.leaving import leaving_routes
from chalicelib.leaving import routes as export_routes
from chalicelib.platform import http, openapi
from chalicelib.tenancy import gate
from chalicelib.tenancy import handlers as tenancy_handlers
from chalicelib.tenancy import routes as tenancy_routes

app = Chalice(app_name="duebridge")
http.guard(gate.gate)

for module in (
    authorizer,
    signup_routes,
    identity_routes,
    people_routes,
    me_routes,
    tenancy_routes,
    billing_routes,
    subscription_routes,
    usage_routes,
    connectors_routes,
    quarantine_routes,
    mapping_routes,
    cases_routes,
    feed_routes,
    export_routes,
    leaving_routes,
    openapi,
    console_routes,
    tenancy_handlers,
    billing_handlers,
    connectors_handlers,
    feed_handlers,
    leaving_handlers,
):
    app.register_blueprint(module.blueprint)
