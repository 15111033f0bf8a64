"""The application on the host: plain sockets, told on stdin what to do, one JSON command a line; answers on stdout."""
import errno
import json
import select
import socket
import struct
import sys
import threading
import time

listeners, sockets, received, sent = {}, {}, {}, {}
PERIOD = 65536
STREAM = bytes((i * 31 + i // 256 * 7) & 255 for i in range(PERIOD)) * 3
printing = threading.Lock()


def stream(offset, count):
    return STREAM[offset % PERIOD:offset % PERIOD + count] if count <= PERIOD else STREAM[offset % PERIOD:][:PERIOD] + stream(offset, count - PERIOD)


def name_of(error):
    return errno.errorcode.get(error.errno, str(error.errno))


def listen(name, address, receive_buffer):
    server = socket.socket()
    if receive_buffer:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    server.bind((address, 0))
    server.listen(16)
    server.setblocking(False)
    listeners[name] = server
    return server.getsockname()[1]


def connect(name, address, port, source):
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if source:
        made.bind((source, 0))
    made.setblocking(False)
    sockets[name] = made
    received[name] = sent[name] = 0
    made.connect_ex((address, port))
    return 'connecting'


def find(name):
    """The newest connection of the script: a script that opens a second one means that."""
    if name in listeners:
        try:
            made = listeners[name].accept()[0]
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if name in sockets:
                sockets[name].close()
            sockets[name] = made
            received[name] = sent[name] = 0
        except OSError:
            pass
    return sockets.get(name)


def take(name, made, limit):
    total, end = 0, ''
    while total < limit:
        try:
            data = made.recv(min(65536, limit - total))
        except BlockingIOError:
            break
        except OSError as error:
            end = ' ' + name_of(error)
            break
        if not data:
            end = ' end'
            break
        if data != stream(received[name], len(data)):
            end = ' WRONG BYTES'
        total += len(data)
        received[name] += len(data)
    return total, end


def drain(name, made):
    quiet, total, end = time.monotonic() + 0.3, 0, ''
    while time.monotonic() < quiet and not end:
        select.select([made], [], [], 0.05)
        count, end = take(name, made, 1 << 30)
        total += count
        if count:
            quiet = time.monotonic() + 0.3
    return [received[name], end]


def act(name, does, count):
    made = find(name)
    if made is None:
        return 'no connection'
    try:
        if does == 'write':
            done = made.send(stream(sent[name], count))
            sent[name] += done
            return 'all' if done == count else 'part'
        if does == 'read':
            total, end = take(name, made, count)
            return f'{total} bytes{end}'
        if does == 'drain':
            return drain(name, made)
        if does == 'shutdown':
            made.shutdown(socket.SHUT_WR)
        elif does == 'close':
            made.close()
            del sockets[name]
        elif does == 'reset':
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            made.close()
            del sockets[name]
        elif does == 'nagle':
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        return 'done'
    except OSError as error:
        return name_of(error)


def answer(command):
    does = command['does']
    if does == 'listen':
        return listen(command['name'], command['address'], command.get('receiveBuffer'))
    if does == 'connect':
        return connect(command['name'], command['address'], command['port'], command.get('source'))
    if does == 'forget':
        name = command['name']
        for table in (listeners, sockets):
            if name in table:
                table.pop(name).close()
        return 'done'
    return act(command['name'], does, command.get('bytes', 0))


def serve(command):
    text = json.dumps({'id': command['id'], 'result': answer(command)})
    with printing:
        print(text, flush=True)


for line in sys.stdin:
    request = json.loads(line)
    # Reading until it is quiet takes a while: the other scripts go on meanwhile.
    if request['does'] == 'drain':
        threading.Thread(target=serve, args=(request,)).start()
    else:
        serve(request)
