"""One sample of how long it takes until an executor is there: nothing but the interpreter is loaded before."""

from time import perf_counter_ns

t0 = perf_counter_ns()
from fraiseql.subscriptions import SubscriptionExecutor  # noqa: E402

t1 = perf_counter_ns()
executor = SubscriptionExecutor()
t2 = perf_counter_ns()
executor.register_subscription(connection_id="c", subscription_id="s", query="subscription { users { id } }")
t3 = perf_counter_ns()
print(f'{{"import_and_constructor": [{t2 - t0}], "with_first_call": [{t3 - t0}], "import": [{t1 - t0}]}}')
