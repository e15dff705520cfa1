"""Queries and mutations stay in Ariadne; subscriptions come from here, at the same URL and from the same SDL.

uvicorn --app-dir examples/python ariadne_subscriptions.app:app
"""

from typing import Any

from ariadne import MutationType, QueryType, make_executable_schema
from ariadne.asgi import GraphQL
from fraiseql.integrations.starlette import add_subscription_routes
from fraiseql.subscriptions import SubscriptionManager
from starlette.applications import Starlette
from starlette.routing import Route

TYPES = """
type Book { id: ID! title: String! author: String! }
type Query { books: [Book!]! }
type Mutation { addBook(title: String!, author: String!): Book! }
"""
SUBSCRIPTIONS = """
type Subscription { bookAdded(author: String): Book! @source(channel: "books") }
"""

query, mutation = QueryType(), MutationType()
books: list[dict[str, Any]] = []
manager = SubscriptionManager(schema=TYPES + SUBSCRIPTIONS)


@query.field("books")
def resolve_books(*_: Any) -> list[dict[str, Any]]:
    return books


@mutation.field("addBook")
async def resolve_add_book(*_: Any, title: str, author: str) -> dict[str, Any]:
    book = {"id": str(len(books) + 1), "title": title, "author": author}
    books.append(book)
    await manager.publish_event("book.added", "books", book)
    return book


app = Starlette()
add_subscription_routes(app, manager, "/graphql", anonymous=True)
app.routes.append(Route("/graphql", GraphQL(make_executable_schema(TYPES, query, mutation))))
