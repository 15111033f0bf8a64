/*
 * The small exchanges of the comparison: a server that echoes, and clients that count.
 *
 *     latency server                    listens on the loopback, prints its port, echoes until it is killed
 *     latency rr HOST PORT SECONDS      one-byte round trips over one connection: prints how many a second
 *     latency crr HOST PORT SECONDS     connect, one byte, close: prints how many a second
 *     latency conns HOST PORT COUNT     opens COUNT connections, then one byte over each: prints the seconds of the opening
 *     latency hold HOST PORT COUNT      the same in steps: opens and prints how many; after a line on standard input echoes
 *                                       over each and prints how many came back; after another closes and prints 0
 *
 * Exits with 1 when something failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
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

static struct sockaddr_in address_of(const char *host, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
    fprintf(stderr, "%s is no IPv4 address\n", host);
    exit(2);
  }
  return address;
}

/* -1 when it fails. */
static int dial(const char *host, int port) {
  struct sockaddr_in address = address_of(host, port);
  struct timeval patience = {PATIENCE, 0};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  no_delay(fd);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
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
  struct sockaddr_in address = address_of("127.0.0.1", 0);
  socklen_t size = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0) die("listen");
  getsockname(listener, (struct sockaddr *)&address, &size);
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  printf("%d\n", ntohs(address.sin_port));
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

static int round_trips(const char *host, int port, double seconds) {
  int fd = dial(host, port);
  double start = now();
  long count = 0;
  for (; now() - start < seconds; count++) {
    if (!echoes(fd)) die("round trip");
  }
  printf("%.1f\n", count / (now() - start));
  return 0;
}

static int connects(const char *host, int port, double seconds) {
  double start = now();
  long count = 0, failed = 0;
  while (now() - start < seconds) {
    int fd = dial(host, port);
    if (echoes(fd)) count++;
    else failed++;
    if (fd >= 0) close(fd);
  }
  if (failed > 0) fprintf(stderr, "%ld failed\n", failed);
  printf("%.1f\n", count / (now() - start));
  return 0;
}

static int open_all(int *fds, const char *host, int port, int count) {
  int opened = 0;
  for (int i = 0; i < count; i++) opened += (fds[i] = dial(host, port)) >= 0;
  return opened;
}

static int echo_all(const int *fds, int count) {
  int echoed = 0;
  for (int i = 0; i < count; i++) echoed += echoes(fds[i]);
  return echoed;
}

static int connections(const char *host, int port, int count) {
  int *fds = calloc(count, sizeof *fds);
  double start = now();
  int opened = open_all(fds, host, port, count);
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

static int hold(const char *host, int port, int count) {
  int *fds = calloc(count, sizeof *fds);
  next_step(open_all(fds, host, port, count));
  next_step(echo_all(fds, count));
  for (int i = 0; i < count; i++) close(fds[i]);
  next_step(0);
  return 0;
}

int main(int count, char **values) {
  struct rlimit descriptors = {200000, 200000};
  setrlimit(RLIMIT_NOFILE, &descriptors);
  const char *mode = count > 1 ? values[1] : "";
  if (!strcmp(mode, "server")) serve();
  if (count == 5) {
    const char *host = values[2];
    int port = atoi(values[3]);
    if (!strcmp(mode, "rr")) return round_trips(host, port, atof(values[4]));
    if (!strcmp(mode, "crr")) return connects(host, port, atof(values[4]));
    if (!strcmp(mode, "conns")) return connections(host, port, atoi(values[4]));
    if (!strcmp(mode, "hold")) return hold(host, port, atoi(values[4]));
  }
  fprintf(stderr, "usage: latency server | (rr|crr) HOST PORT SECONDS | (conns|hold) HOST PORT COUNT\n");
  return 2;
}
