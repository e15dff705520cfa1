"""Queries and mutations stay in Strawberry; subscriptions come from here, at the same URL.

uvicorn --app-dir examples/python strawberry_subscriptions.app:app
"""

from dataclasses import asdict

import strawberry
from fastapi import FastAPI
from fraiseql.integrations.fastapi import create_subscription_router
from fraiseql.subscriptions import Event, SubscriptionManager
from strawberry.fastapi import GraphQLRouter


@strawberry.type
class Book:
    id: strawberry.ID
    title: str
    author: str


books: dict[str, Book] = {}


@strawberry.type
class Query:
    @strawberry.field
    def books(self) -> list[Book]:
        return list(books.values())


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def add_book(self, title: str, author: str) -> Book:
        book = Book(id=strawberry.ID(str(len(books) + 1)), title=title, author=author)
        books[book.id] = book
        await manager.publish_event("book.added", "books", asdict(book))
        return book


# Strawberry's types are the types of the subscriptions: what it prints, and one more type.
schema = strawberry.Schema(Query, Mutation)
SUBSCRIPTIONS = """
type Subscription {
  bookAdded(author: String): Book! @source(channel: "books", types: ["book.added"])
  bookCount: Int! @source(channel: "books")
}
"""
manager = SubscriptionManager(schema=schema.as_str() + SUBSCRIPTIONS)


@manager.resolver("bookCount")
def book_count(event: Event) -> int:
    return len(books)


app = FastAPI(title="Books")
# The WebSocket route of the first router is found before Strawberry's own.
app.include_router(create_subscription_router(manager, "/graphql", anonymous=True))
app.include_router(GraphQLRouter(schema), prefix="/graphql")
