/* exports: uses every function of the library once as it is meant, and then with an engine that is not there. */
#include "library.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static int failures;

#define EXPECT(condition)                                                                                             \
  do {                                                                                                                \
    if (!(condition)) {                                                                                               \
      failures++;                                                                                                     \
      printf("line %d: %s; out %.*s\n", __LINE__, #condition, (int)out.len, out.len ? out.data : "");                 \
    }                                                                                                                 \
  } while (0)

/* says reports whether the result is, or with a star at its end begins with, a text. */
static int says(const char *text) {
  size_t length = strlen(text);
  if (length > 0 && text[length - 1] == '*') return out.len >= (int64_t)length - 1 && !memcmp(out.data, text, length - 1);
  return out.len == (int64_t)length && !memcmp(out.data, text, length);
}

static uint32_t u32(const char *at) {
  uint32_t n;
  memcpy(&n, at, sizeof n);
  return n;
}

static int64_t i64(const char *at) {
  int64_t n;
  memcpy(&n, at, sizeof n);
  return n;
}

static int readable(int64_t fd, int wait) {
  struct pollfd p = {.fd = (int)fd, .events = POLLIN};
  int n;
  do n = poll(&p, 1, wait);
  while (n < 0 && errno == EINTR); /* a signal with which the Go runtime preempts may still be on its way to this thread */
  return n == 1;
}

static int64_t publish(int64_t engine, const char *channel, const char *data) {
  fq_event event = {.channel = TEXT(channel), .type = TEXT("created"), .data = TEXT(data)};
  return fq_publish(engine, &event, 1, fresh());
}

static void pull(int64_t engine) {
  fq_subscription s = {
      .connection_id = TEXT("c"), .subscription_id = TEXT("s"), .query = TEXT("subscription { users { id } }"),
      .identity = TEXT("{\"user_id\":\"u\",\"tenant_id\":7}")};
  int64_t subscription = fq_subscribe(engine, &s, fresh());
  EXPECT(subscription > 0 && s.connection > 0 && s.ready != NULL && says("users"));
  EXPECT(fq_next(engine, subscription, fresh()) == 0 && out.len == 0 && s.ready->ready == 0);
  EXPECT(publish(engine, "users", "{\"id\":1}") == 1 && s.ready->ready != 0);
  EXPECT(fq_next(engine, subscription, fresh()) == 1 && !out.owned);
  EXPECT(says("{\"id\":\"s\",\"type\":\"next\",\"payload\":{\"data\":{\"users\":{\"id\":1}}}}"));

  char large[600] = "{\"id\":\"";
  memset(large + 7, 'x', 500);
  strcpy(large + 507, "\"}");
  EXPECT(publish(engine, "users", large) == 1);
  EXPECT(fq_next(engine, subscription, fresh()) == 1 && out.owned && out.data != room && out.len > 500);
  EXPECT(fq_publish(engine, NULL, 0, fresh()) == 0);

  EXPECT(publish(engine, "users", "{\"id\":2}") == 1 && publish(engine, "users", "{\"id\":3}") == 1);
  EXPECT(fq_take(engine, subscription, 1, fresh()) == 1 && (int64_t)u32(out.data) == out.len - 4);
  EXPECT(fq_take_connection(engine, s.connection, 9, fresh()) == 1 && i64(out.data) == subscription);
  EXPECT((int64_t)u32(out.data + 8) == out.len - 12);

  int64_t fd = -1, token = 0;
  int64_t mailbox = fq_mailbox_new(engine, &fd, fresh());
  EXPECT(mailbox > 0 && fd >= 0 && !readable(fd, 0));
  EXPECT(fq_watch(engine, subscription, mailbox, 77) == 0 && publish(engine, "users", "{\"id\":4}") == 1 && readable(fd, 0));
  EXPECT(fq_mailbox_take(engine, mailbox, &token, 1) == 1 && token == 77 && !readable(fd, 0));
  EXPECT(fq_watch(engine, subscription, mailbox, 77) == 1);
  EXPECT(fq_mailbox_close(engine, mailbox) == 1 && fq_mailbox_close(engine, mailbox) == 0);

  fq_text now = {NULL, 0};
  EXPECT(fq_resume(engine, subscription, &now, fresh()) == 1 && publish(engine, "users", "{\"id\":5}") == 1);
  EXPECT(fq_take(engine, subscription, 9, fresh()) == 2);

  EXPECT(fq_complete(engine, subscription) == 1 && fq_complete(engine, subscription) == 0);
  EXPECT(fq_next(engine, subscription, fresh()) == FQ_ENDED);
  EXPECT(fq_complete_connection(engine, s.connection) == 1 && fq_complete_connection(engine, s.connection) == 0);
  s.query = TEXT("{{");
  EXPECT(fq_subscribe(engine, &s, fresh()) == FQ_ERROR && says("{\"code\":\"GRAPHQL_PARSE_FAILED\",*"));
  EXPECT(publish(engine, "users", "{") == FQ_ERROR && says("{\"code\":\"INVALID_VALUE\",*"));
}

static void resolve(int64_t engine, fq_shared *shared) {
  fq_text name = TEXT("orders"), value = TEXT("{\"id\":9}");
  EXPECT(fq_resolver_set(engine, &name, 5, 1, fresh()) == 0);
  fq_subscription s = {.connection_id = TEXT("c"), .subscription_id = TEXT("s"), .query = TEXT("subscription { orders { id } }")};
  int64_t subscription = fq_subscribe(engine, &s, fresh());
  EXPECT(subscription > 0 && shared->calls == 0 && publish(engine, "orders", "{\"id\":1}") == 1 && shared->calls == 1);
  EXPECT(fq_calls_take(engine, 9, fresh()) == 1 && shared->calls == 0);
  int64_t call = i64(out.data);
  EXPECT(call > 0 && i64(out.data + 8) == FQ_CALL_RESOLVE && i64(out.data + 16) == 5);
  EXPECT(fq_call_answer(engine, call, FQ_ANSWER_VALUE, &value, fresh()) == 1);
  EXPECT(fq_call_answer(engine, call, FQ_ANSWER_VALUE, &value, fresh()) == 0);
  EXPECT(fq_next(engine, subscription, fresh()) == 1);
  EXPECT(says("{\"id\":\"s\",\"type\":\"next\",\"payload\":{\"data\":{\"orders\":{\"id\":9}}}}"));
}

static void work(int64_t engine, fq_shared *shared) {
  fq_text group = TEXT("mail"), channel = TEXT("letters"), none = {0};
  int64_t fd, token;
  int64_t mailbox = fq_mailbox_new(engine, &fd, fresh());
  EXPECT(fq_mailbox_calls(engine, mailbox) == 0 && fq_work(engine, &group, &channel, 6, fresh()) == 0);
  EXPECT(fq_work(engine, &group, &channel, 6, fresh()) == FQ_ERROR && fq_work(engine, &group, &none, 7, fresh()) == FQ_ERROR);
  do EXPECT(publish(engine, "letters", "{\"id\":1}") == 0); /* the worker begins on a thread of its own */
  while (!readable(fd, 20));
  EXPECT(fq_mailbox_take(engine, mailbox, &token, 1) == 1 && token == FQ_TOKEN_CALLS && shared->calls == 1);
  for (int round = 0; round < 2; round++) { /* what failed comes again */
    EXPECT(readable(fd, 20000) || shared->calls == 1);
    EXPECT(fq_calls_take(engine, -9, fresh()) == 0 && shared->calls == 1);
    EXPECT(fq_calls_take(engine, 9, fresh()) == 1 && i64(out.data + 8) == FQ_CALL_WORK && i64(out.data + 16) == 6);
    EXPECT(fq_call_answer(engine, i64(out.data), round ? FQ_ANSWER_VALUE : FQ_ANSWER_FAILED, &none, fresh()) == 1);
    if (!round) EXPECT(readable(fd, 20000) && fq_mailbox_take(engine, mailbox, &token, 1) == 1);
  }
  EXPECT(fq_work_stop(engine, 6) == 1 && fq_work_stop(engine, 6) == 0 && fq_mailbox_close(engine, mailbox) == 1);
}

static void forbid(int64_t engine) {
  fq_text who = TEXT("{\"user_id\":\"mallory\",\"issued_before\":1.5}"), nobody = TEXT("{}"), wrong = TEXT("{\"usr\":1}");
  EXPECT(fq_revoke(engine, &who, fresh()) == 0);
  EXPECT(fq_revoke(engine, &nobody, fresh()) == FQ_ERROR && says("{\"code\":\"INVALID_VALUE\",*"));
  EXPECT(fq_revoke(engine, &wrong, fresh()) == FQ_ERROR && fq_revoke(engine, NULL, fresh()) == FQ_ERROR);
}

static void schema(int64_t engine) {
  fq_text none = TEXT("{\"schema\":[{\"name\":\"s\",\"text\":\"type Subscription { a: A } type A { b: Int }\"}]}"), wrong = TEXT("{\"sdl\":1}");
  EXPECT(fq_schema_set(engine, &none, fresh()) == FQ_ERROR && says("{\"code\":\"BAD_USER_INPUT\",*"));
  EXPECT(fq_schema_set(engine, &wrong, fresh()) == FQ_ERROR && fq_schema_set(engine, NULL, fresh()) == FQ_ERROR);
}

static void converse(int64_t engine) {
  fq_text config = TEXT("{\"authenticate\":true}"), request = TEXT("{\"remote_addr\":\"1.2.3.4:5\"}");
  fq_text hello = TEXT("{\"type\":\"connection_init\"}"), identity = TEXT("{\"user_id\":\"u\"}"), reason = TEXT("enough");
  int64_t fd, token;
  int64_t mailbox = fq_mailbox_new(engine, &fd, fresh()), calls = fq_mailbox_new(engine, &token, fresh());
  int64_t calls_fd = token;
  EXPECT(fq_mailbox_calls(engine, calls) == 0);
  int64_t sessions = fq_sessions_new(engine, &config, fresh());
  int64_t session = fq_session_open(engine, sessions, &request, mailbox, 8, fresh());
  EXPECT(sessions > 0 && session > 0);
  EXPECT(fq_session_receive(engine, session, &hello) == 0 && readable(calls_fd, 20000));
  EXPECT(fq_mailbox_take(engine, calls, &token, 1) == 1 && token == FQ_TOKEN_CALLS);
  EXPECT(fq_calls_take(engine, 9, fresh()) == 1 && i64(out.data + 8) == FQ_CALL_AUTHENTICATE && i64(out.data + 16) == 8);
  EXPECT(fq_call_answer(engine, i64(out.data), FQ_ANSWER_VALUE, &identity, fresh()) == 1 && readable(fd, 20000));
  EXPECT(fq_mailbox_take(engine, mailbox, &token, 1) == 1 && token == 8);
  EXPECT(fq_session_take(engine, session, 0, fresh()) == 1 && u32(out.data) == FQ_OUT_TEXT);
  EXPECT(u32(out.data + 8) == 25 && !memcmp(out.data + 12, "{\"type\":\"connection_ack\"}", 25));
  EXPECT(fq_session_take(engine, session, 0, fresh()) == 0);
  EXPECT(fq_session_shut(engine, session, 4321, &reason) == 0 && fq_session_take(engine, session, 0, fresh()) == 1);
  EXPECT(u32(out.data) == FQ_OUT_CLOSE && u32(out.data + 4) == 4321);
  EXPECT(fq_session_close(engine, session) == 1 && fq_session_close(engine, session) == 0);
}

static void serve(int64_t engine) {
  fq_text config = TEXT("{\"anonymous\":true,\"host\":\"127.0.0.1\",\"port\":0}");
  int64_t server = fq_serve(engine, &config, fresh());
  int port = 0;
  EXPECT(server > 0 && sscanf(out.data, "{\"host\":\"127.0.0.1\",\"port\":%d}", &port) == 1);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  const char *request = "GET /healthz HTTP/1.0\r\n\r\n";
  char answer[64] = "";
  EXPECT(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
  EXPECT(write(client, request, strlen(request)) == (ssize_t)strlen(request) && read(client, answer, 15) == 15);
  EXPECT(strstr(answer, " 200 ") != NULL);
  close(client);
  EXPECT(fq_serve_stop(engine, server, 0, fresh()) == 1 && fq_serve_stop(engine, server, 0, fresh()) == 0);
}

/* careless passes what nobody should pass: every answer is an error, and nothing breaks. */
static void careless(int64_t engine) {
  fq_text negative = {"x", -1}, none = {0};
  fq_event event = {.channel = negative, .type = negative, .data = negative};
  fq_shared *shared;
  EXPECT(fq_engine_new(NULL, &shared, fresh()) == FQ_ERROR && says("{\"code\":\"BAD_USER_INPUT\",*"));
  EXPECT(fq_engine_new(&negative, &shared, fresh()) == FQ_ERROR && says("{\"code\":\"INTERNAL_SERVER_ERROR\",*"));
  EXPECT(fq_engine_new(&none, &shared, NULL) == FQ_ERROR);
  EXPECT(fq_publish(engine, &event, 1, fresh()) == FQ_ERROR && says("{\"code\":\"INTERNAL_SERVER_ERROR\",*"));
  EXPECT(fq_publish(engine, &event, -1, fresh()) == FQ_ERROR && fq_publish(engine, NULL, 1, fresh()) == FQ_ERROR);
  EXPECT(fq_subscribe(engine, NULL, fresh()) == FQ_ERROR && fq_resolver_set(engine, NULL, 1, 0, fresh()) == FQ_ERROR);
  EXPECT(fq_mailbox_new(engine, NULL, fresh()) == FQ_ERROR);
  int64_t fd, mailbox = fq_mailbox_new(engine, &fd, fresh());
  EXPECT(fq_mailbox_take(engine, mailbox, NULL, 5) == FQ_ERROR && fq_mailbox_take(engine, mailbox, NULL, 0) == 0);
  EXPECT(fq_mailbox_take(engine, mailbox, &fd, -1) == FQ_ERROR && fq_calls_take(engine, -1, fresh()) == 0);
  EXPECT(fq_sessions_new(engine, NULL, fresh()) == FQ_ERROR && fq_serve(engine, &negative, fresh()) == FQ_ERROR);
  EXPECT(fq_call_answer(engine, 0, 99, NULL, NULL) == 0 && fq_work(engine, NULL, NULL, 1, fresh()) == FQ_ERROR);
  out = (fq_out){NULL, -5, 0, 0};
  EXPECT(fq_metrics(engine, &out) == 0 && out.owned && out.data[0] == '{');
  EXPECT(publish(engine, "users", "{\"id\":1}") == 0);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  load(argv[1]);
  fq_text wrong = TEXT("{\"shema\":1}"), config = TEXT("{\"schema\":null}"), none = {0};
  fq_subscription nobody = {0};
  fq_event nothing = {0};
  fq_shared *shared = NULL;
  int64_t number;
  EXPECT(fq_abi() == FQ_ABI && fq_fault == NULL);
  EXPECT(fq_engine_new(&wrong, &shared, fresh()) == FQ_ERROR && says("{\"code\":\"BAD_USER_INPUT\",\"message\":\"shema: is not known\"*"));
  int64_t engine = fq_engine_new(&config, &shared, fresh());
  EXPECT(engine > 0 && shared != NULL);
  pull(engine);
  resolve(engine, shared);
  work(engine, shared);
  forbid(engine);
  schema(engine);
  converse(engine);
  serve(engine);
  careless(engine);
  EXPECT(fq_metrics(engine, fresh()) == 0 && out.data[0] == '{');
  EXPECT(fq_engine_close(engine, fresh()) == 0 && fq_engine_close(engine, fresh()) == 0);
  EXPECT(fq_leave(1) == 0); /* as of one that was finished */
#define UNKNOWN(name, parameters, arguments)                                                                          \
  if (strcmp(#name, "fq_abi") && strcmp(#name, "fq_engine_new") && strcmp(#name, "fq_engine_close") &&                    \
      strcmp(#name, "fq_leave"))                                                                                      \
    EXPECT(name arguments == FQ_UNKNOWN);
  EXPORTS(UNKNOWN)
  return failures != 0;
}
