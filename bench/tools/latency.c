/*
 * The small exchanges of the comparison: a server that echoes, and clients that count.
 *
 *     latency server HOST               listens on that address, prints its port, echoes until it is killed
 *     latency rr HOST PORT SECONDS      one-byte round trips over one connection: prints how many a second
 *     latency crr HOST PORT SECONDS     connect, one byte, close: prints how many a second
 *     latency conns HOST PORT COUNT     opens COUNT connections, then one byte over each: prints the seconds of the opening
 *     latency hold HOST PORT COUNT      the same in steps: opens and prints how many; after a line on standard input echoes
 *                                       over each and prints how many came back; after another closes and prints 0
 *
 * Exits with 1 when something failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256
#define PATIENCE 5 /* seconds for an answer */

static void die(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Looked up once, of either family; of IPv6 with a device behind % where it is link-local. */
static struct addrinfo *address;

static void look_up(const char *host, const char *port) {
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  int error = getaddrinfo(host, port, &hints, &address);
  if (error == 0) return;
  fprintf(stderr, "%s, port %s: %s\n", host, port, gai_strerror(error));
  exit(2);
}

/* -1 when it fails. */
static int dial(void) {
  struct timeval patience = {PATIENCE, 0};
  int fd = socket(address->ai_family, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  no_delay(fd);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(fd, address->ai_addr, address->ai_addrlen) == 0) return fd;
  close(fd);
  return -1;
}

static int echoes(int fd) {
  char byte = 'e';
  return fd >= 0 && write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1;
}

static void accept_all(int epoll, int listener) {
  int fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    no_delay(fd);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
}

static void echo(int fd) {
  static char buffer[65536];
  ssize_t length = read(fd, buffer, sizeof buffer);
  if (length < 0 && errno == EAGAIN) return;
  if (length <= 0 || write(fd, buffer, length) != length) close(fd);
}

static void serve(void) {
  char port[NI_MAXSERV];
  int listener = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  if (bind(listener, address->ai_addr, address->ai_addrlen) < 0 || listen(listener, 4096) < 0) die("listen");
  if (getsockname(listener, address->ai_addr, &address->ai_addrlen) < 0) die("getsockname");
  getnameinfo(address->ai_addr, address->ai_addrlen, NULL, 0, port, sizeof port, NI_NUMERICSERV);
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  printf("%s\n", port);
  fflush(stdout);
  for (;;) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd == listener) accept_all(epoll, listener);
      else echo(events[i].data.fd);
    }
  }
}

static int round_trips(double seconds) {
  int fd = dial();
  double start = now();
  long count = 0;
  for (; now() - start < seconds; count++) {
    if (!echoes(fd)) die("round trip");
  }
  printf("%.1f\n", count / (now() - start));
  return 0;
}

static int connects(double seconds) {
  double start = now();
  long count = 0, failed = 0;
  while (now() - start < seconds) {
    int fd = dial();
    if (echoes(fd)) count++;
    else failed++;
    if (fd >= 0) close(fd);
  }
  if (failed > 0) fprintf(stderr, "%ld failed\n", failed);
  printf("%.1f\n", count / (now() - start));
  return 0;
}

static int open_all(int *fds, int count) {
  int opened = 0;
  for (int i = 0; i < count; i++) opened += (fds[i] = dial()) >= 0;
  return opened;
}

static int echo_all(const int *fds, int count) {
  int echoed = 0;
  for (int i = 0; i < count; i++) echoed += echoes(fds[i]);
  return echoed;
}

static int connections(int count) {
  int *fds = calloc(count, sizeof *fds);
  double start = now();
  int opened = open_all(fds, count);
  double seconds = now() - start;
  int echoed = echo_all(fds, count);
  fprintf(stderr, "%d of %d opened, %d echoed\n", opened, count, echoed);
  printf("%.4f\n", seconds);
  return opened == count && echoed == count ? 0 : 1;
}

static void next_step(int result) {
  char line[16];
  printf("%d\n", result);
  fflush(stdout);
  if (fgets(line, sizeof line, stdin) == NULL) exit(1);
}

static int hold(int count) {
  int *fds = calloc(count, sizeof *fds);
  next_step(open_all(fds, count));
  next_step(echo_all(fds, count));
  for (int i = 0; i < count; i++) close(fds[i]);
  next_step(0);
  return 0;
}

int main(int count, char **values) {
  struct rlimit descriptors = {200000, 200000};
  setrlimit(RLIMIT_NOFILE, &descriptors);
  const char *mode = count > 1 ? values[1] : "";
  if (count >= 3) look_up(values[2], count > 3 ? values[3] : "0");
  if (count == 3 && !strcmp(mode, "server")) serve();
  if (count == 5) {
    if (!strcmp(mode, "rr")) return round_trips(atof(values[4]));
    if (!strcmp(mode, "crr")) return connects(atof(values[4]));
    if (!strcmp(mode, "conns")) return connections(atoi(values[4]));
    if (!strcmp(mode, "hold")) return hold(atoi(values[4]));
  }
  fprintf(stderr, "usage: latency server HOST | (rr|crr) HOST PORT SECONDS | (conns|hold) HOST PORT COUNT\n");
  return 2;
}
