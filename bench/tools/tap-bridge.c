/*
 * Carries frames between a TAP device of the current network namespace and a gateway's unix socket, with QEMU's framing
 * (each frame behind its length, four bytes, big-endian), as QEMU's -netdev stream does.
 *
 *     tap-bridge DEVICE SOCKET        makes the device, connects, prints "ready"
 *
 * Loses nothing by itself: while the socket takes no more the device is not read, and its queue fills as a real card's does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FRAME 70000      /* a frame at MTU 65520, with room */
#define REGION (1 << 20) /* read from the socket at a time */
#define BURST 64         /* frames from the device before the socket is looked at */

static unsigned char outgoing[4 + FRAME];
static unsigned char incoming[REGION];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int open_tap(const char *name) {
  struct ifreq request;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (fd < 0) die("/dev/net/tun");
  memset(&request, 0, sizeof request);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (ioctl(fd, TUNSETIFF, &request) < 0) die("TUNSETIFF");
  return fd;
}

static int connect_gateway(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int size = 4 << 20;
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  for (int tries = 0; connect(fd, (struct sockaddr *)&address, sizeof address) < 0; tries++) {
    if (tries == 100) die(path);
    usleep(50000);
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

/* The frame in `outgoing` that the socket has not taken whole: its length and how much of it has gone. */
static size_t pending, written;

static void push(int gateway) {
  while (written < pending) {
    ssize_t count = write(gateway, outgoing + written, pending - written);
    if (count < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      die("write to the gateway");
    }
    written += count;
  }
  pending = written = 0;
}

static void from_device(int tap, int gateway) {
  for (int i = 0; i < BURST && pending == 0; i++) {
    ssize_t length = read(tap, outgoing + 4, FRAME);
    if (length <= 0) return;
    uint32_t prefix = htonl(length);
    memcpy(outgoing, &prefix, 4);
    pending = 4 + length;
    push(gateway);
  }
}

/* Bytes in `incoming`. */
static size_t held;

static void from_gateway(int tap, int gateway) {
  ssize_t count = read(gateway, incoming + held, REGION - held);
  if (count == 0) exit(0);
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    die("read from the gateway");
  }
  held += count;
  size_t at = 0;
  while (held - at >= 4) {
    uint32_t length;
    memcpy(&length, incoming + at, 4);
    length = ntohl(length);
    if (length > FRAME) {
      fprintf(stderr, "the gateway sent a frame of %u bytes\n", length);
      exit(2);
    }
    if (held - at - 4 < length) break;
    /* A guest that doesn't keep up loses the frame, as with any card. */
    if (write(tap, incoming + at + 4, length) < 0 && errno != EAGAIN && errno != EIO && errno != ENOBUFS) perror("write to the device");
    at += 4 + length;
  }
  memmove(incoming, incoming + at, held - at);
  held -= at;
}

int main(int count, char **values) {
  if (count != 3) {
    fprintf(stderr, "usage: tap-bridge DEVICE SOCKET\n");
    return 2;
  }
  int tap = open_tap(values[1]);
  int gateway = connect_gateway(values[2]);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    struct pollfd polled[2] = {{tap, pending ? 0 : POLLIN, 0}, {gateway, POLLIN | (pending ? POLLOUT : 0), 0}};
    if (poll(polled, 2, -1) < 0 && errno != EINTR) die("poll");
    if (pending) push(gateway);
    if (polled[0].revents & POLLIN && pending == 0) from_device(tap, gateway);
    if (polled[1].revents & (POLLIN | POLLHUP)) from_gateway(tap, gateway);
  }
}
