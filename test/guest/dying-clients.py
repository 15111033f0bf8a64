"""Clients that are killed in the middle of what they send, one after the other, each a process of its own.

  dying-clients.py qemu SOCKET COUNT FRAMES        a stream of frames behind four bytes of length, cut anywhere
  dying-clients.py vpnkit SOCKET COUNT FRAMES      a handshake, and frames behind two bytes of length, cut anywhere
  dying-clients.py seqpacket SOCKET COUNT FRAMES   whole messages, and then no more
  dying-clients.py vfkit SOCKET COUNT FRAMES       whole messages from a bound socket, which stays behind

FRAMES: a file with frames behind four bytes of length, big-endian.
"""
import os
import signal
import socket
import struct
import sys


def read_frames(path):
    data = open(path, "rb").read()
    frames = []
    while data:
        (length,) = struct.unpack(">I", data[:4])
        frames.append(data[4:4 + length])
        data = data[4 + length:]
    return frames


def pieces(kind, frames):
    """What is sent, a message or a byte at a time."""
    if kind in ("seqpacket", "vfkit"):
        return frames
    if kind == "qemu":
        data = b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)
    else:
        handshake = b"VMN3T".ljust(49, b"\7") + b"\1" + b"00000000-0000-0000-0000-000000000000".ljust(40, b"\0")
        data = handshake + b"".join(struct.pack("<H", len(frame)) + frame for frame in frames)
    return [data[i:i + 1] for i in range(len(data))]


def live_and_die(kind, path, parts, index):
    if kind == "seqpacket":
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    elif kind == "vfkit":
        link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        link.bind(os.path.join(os.path.dirname(path), "vfkit-%x-%x.sock" % (os.getpid(), index)))
    else:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(path)
    if kind in ("seqpacket", "vfkit"):
        for part in parts:
            link.send(part)
    else:
        link.sendall(b"".join(parts))
    os.kill(os.getpid(), signal.SIGKILL)


kind, path, count, frames = sys.argv[1], sys.argv[2], int(sys.argv[3]), read_frames(sys.argv[4])
whole = pieces(kind, frames)
for index in range(count):
    # A step without a common divisor visits every place in turn.
    cut = index * 7919 % (len(whole) + 1)
    child = os.fork()
    if child == 0:
        live_and_die(kind, path, whole[:cut], index)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        sys.exit("client %d did not come to its death: status %d" % (index, status))
print("all dead")
