/*
 * Carries frames between a TAP device of the current network namespace and gvproxy's /connect (each frame behind its length, two
 * bytes, little-endian), for as little processor time as it can, so that the gateway sets the pace and not this program: the device
 * hands over and takes TCP segments of up to 64 KiB, which are cut into frames of the MTU here, and put together here.
 *
 *     segment-bridge DEVICE SOCKET    makes the device, connects, prints "ready"
 *
 * Loses nothing by itself: while the socket takes no more the device is not read.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEADER sizeof(struct virtio_net_hdr)
#define FRAME (HEADER + 14 + 65535)
#define REGION (1 << 20)
#define ETHERNET 14
#define CHECKSUM 16 /* of TCP, from its header's beginning */

static void die(const char *what) {
  perror(what);
  exit(1);
}

static uint16_t get16(const unsigned char *at) { return at[0] << 8 | at[1]; }
static uint32_t get32(const unsigned char *at) { return (uint32_t)get16(at) << 16 | get16(at + 2); }
static void set16(unsigned char *at, uint32_t value) { at[0] = value >> 8, at[1] = value; }
static void set32(unsigned char *at, uint32_t value) { set16(at, value >> 16), set16(at + 2, value); }

static uint32_t fold(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

/* RFC 1071, in the machine's order of bytes; the result in the network's. */
static uint32_t sum(const unsigned char *at, size_t length) {
  uint64_t total = 0;
  for (; length >= 4; at += 4, length -= 4) {
    uint32_t word;
    memcpy(&word, at, 4);
    total += word;
  }
  unsigned char rest[4] = {0};
  uint32_t word;
  memcpy(rest, at, length);
  memcpy(&word, rest, 4);
  return ntohs(fold(total + word));
}

static uint32_t pseudo(const unsigned char *ip, uint32_t length) { return sum(ip + 12, 8) + 6 + length; }

static void complete_ip(unsigned char *ip) {
  set16(ip + 10, 0);
  set16(ip + 10, ~sum(ip, (ip[0] & 15) * 4));
}

static int open_tap(const char *name) {
  struct ifreq request;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (fd < 0) die("/dev/net/tun");
  memset(&request, 0, sizeof request);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(fd, TUNSETIFF, &request) < 0) die("TUNSETIFF");
  if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0) die("TUNSETOFFLOAD");
  return fd;
}

static int connect_gateway(const char *path) {
  static const char request[] = "GET /connect HTTP/1.1\r\nHost: bench\r\n\r\n";
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int size = 4 << 20;
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die(path);
  /* Nothing comes back before the first frame. */
  if (write(fd, request, sizeof request - 1) < 0) die("the request");
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

/* ---- device to gateway ---- */

static unsigned char device[FRAME];
static unsigned char outgoing[2 * REGION];
/* Bytes in `outgoing`, and how many of them have gone. */
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

static unsigned char *append(size_t length) {
  unsigned char *at = outgoing + pending;
  at[0] = length & 255;
  at[1] = length >> 8;
  pending += 2 + length;
  return at + 2;
}

static void cut(const unsigned char *frame, size_t length, size_t size) {
  const unsigned char *ip = frame + ETHERNET;
  size_t transport = ETHERNET + (ip[0] & 15) * 4;
  size_t payload = transport + (frame[transport + 12] >> 4) * 4;
  for (size_t from = payload, index = 0; from < length; from += size, index++) {
    size_t data = length - from < size ? length - from : size;
    unsigned char *segment = append(payload + data);
    unsigned char *tcp = segment + transport;
    memcpy(segment, frame, payload);
    memcpy(segment + payload, frame + from, data);
    set16(segment + ETHERNET + 2, payload + data - ETHERNET);
    set16(segment + ETHERNET + 4, get16(ip + 4) + index);
    complete_ip(segment + ETHERNET);
    set32(tcp + 4, get32(tcp + 4) + (from - payload));
    if (from + data < length) tcp[13] &= ~9; /* FIN, PSH */
    if (index > 0) tcp[13] &= ~0x80;         /* CWR */
    set16(tcp + CHECKSUM, 0);
    size_t whole = payload + data - transport;
    set16(tcp + CHECKSUM, ~fold(pseudo(segment + ETHERNET, whole) + sum(tcp, whole)));
  }
}

static void from_device(int tap, int gateway) {
  while (pending < REGION / 4) {
    ssize_t length = read(tap, device, sizeof device);
    if (length <= (ssize_t)HEADER) break;
    struct virtio_net_hdr header;
    memcpy(&header, device, sizeof header);
    unsigned char *frame = device + HEADER;
    length -= HEADER;
    if (header.gso_type & VIRTIO_NET_HDR_GSO_TCPV4) {
      cut(frame, length, header.gso_size);
      continue;
    }
    if (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
      unsigned char *start = frame + header.csum_start;
      set16(start + header.csum_offset, ~sum(start, length - header.csum_start));
    }
    memcpy(append(length), frame, length);
  }
  push(gateway);
}

/* ---- gateway to device ---- */

static unsigned char incoming[REGION];
static size_t held;
/* The segment being put together, with its virtio-net header; 0: none. */
static unsigned char whole[FRAME];
static size_t size_of_whole, segment_size;
static uint32_t next_sequence;

static void put(int tap, const void *bytes, size_t length) {
  /* A guest that doesn't keep up loses the frame, as with any card. */
  if (write(tap, bytes, length) < 0 && errno != EAGAIN && errno != EIO && errno != ENOBUFS) perror("write to the device");
}

static void finish_whole(int tap) {
  if (size_of_whole == 0) return;
  unsigned char *frame = whole + HEADER, *ip = frame + ETHERNET, *tcp = ip + 20;
  size_t length = size_of_whole - HEADER;
  struct virtio_net_hdr header = {0};
  if (length > ETHERNET + 20 + (size_t)(tcp[12] >> 4) * 4 + segment_size) {
    header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    header.gso_size = segment_size;
    header.csum_start = ETHERNET + 20;
    header.csum_offset = CHECKSUM;
    header.hdr_len = ETHERNET + 20 + (tcp[12] >> 4) * 4;
    set16(ip + 2, length - ETHERNET);
    complete_ip(ip);
    set16(tcp + CHECKSUM, fold(pseudo(ip, length - ETHERNET - 20)));
  }
  memcpy(whole, &header, sizeof header);
  put(tap, whole, size_of_whole);
  size_of_whole = 0;
}

/* Data of an ordinary TCP segment, or 0: without IP options, fragments, and flags other than ACK and PSH. */
static size_t data_of(const unsigned char *frame, size_t length) {
  const unsigned char *ip = frame + ETHERNET, *tcp = ip + 20;
  if (length < ETHERNET + 40 || get16(frame + 12) != 0x0800 || ip[0] != 0x45 || ip[9] != 6 || (get16(ip + 6) & 0x3fff) != 0) return 0;
  size_t headers = ETHERNET + 20 + (tcp[12] >> 4) * 4;
  if ((tcp[13] & ~8) != 16 || get16(ip + 2) + ETHERNET != (int)length || headers >= length) return 0;
  return length - headers;
}

static int follows(const unsigned char *frame, size_t data, size_t length) {
  if (size_of_whole == 0 || data > segment_size || size_of_whole + data > FRAME) return 0;
  const unsigned char *first = whole + HEADER, *ip = frame + ETHERNET, *tcp = ip + 20;
  size_t headers = length - data - ETHERNET - 20;
  if (memcmp(first, frame, ETHERNET) || memcmp(first + ETHERNET + 12, ip + 12, 8) || memcmp(first + ETHERNET + 20, tcp, 4)) return 0;
  /* Acknowledgment, header length, window, options. */
  return get32(tcp + 4) == next_sequence && !memcmp(first + ETHERNET + 28, tcp + 8, 5) && !memcmp(first + ETHERNET + 34, tcp + 14, 2) &&
         !memcmp(first + ETHERNET + 40, tcp + 20, headers - 20);
}

static void deliver(int tap, const unsigned char *frame, size_t length) {
  size_t data = data_of(frame, length);
  if (data > 0 && follows(frame, data, length)) {
    memcpy(whole + size_of_whole, frame + length - data, data);
    size_of_whole += data;
    next_sequence += data;
    whole[HEADER + ETHERNET + 33] |= frame[ETHERNET + 33];
    if (data < segment_size || frame[ETHERNET + 33] & 8) finish_whole(tap);
    return;
  }
  finish_whole(tap);
  memcpy(whole + HEADER, frame, length);
  size_of_whole = HEADER + length;
  segment_size = data;
  next_sequence = get32(frame + ETHERNET + 24) + data;
  if (data == 0) {
    memset(whole, 0, HEADER);
    put(tap, whole, size_of_whole);
    size_of_whole = 0;
  }
}

static void from_gateway(int tap, int gateway) {
  ssize_t count = read(gateway, incoming + held, REGION - held);
  if (count == 0) exit(0);
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    die("read from the gateway");
  }
  held += count;
  size_t at = 0;
  while (held - at >= 2) {
    size_t length = incoming[at] | incoming[at + 1] << 8;
    if (held - at - 2 < length) break;
    if (length >= ETHERNET + 40) deliver(tap, incoming + at + 2, length);
    else {
      finish_whole(tap);
      memset(device, 0, HEADER);
      memcpy(device + HEADER, incoming + at + 2, length);
      put(tap, device, HEADER + length);
    }
    at += 2 + length;
  }
  finish_whole(tap);
  memmove(incoming, incoming + at, held - at);
  held -= at;
}

int main(int count, char **values) {
  if (count != 3) {
    fprintf(stderr, "usage: segment-bridge DEVICE SOCKET\n");
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
