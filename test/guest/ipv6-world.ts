/**
 * A host in a network with both versions of IP: gvproxy runs in one namespace, behind a router in another, with a peer beyond it.
 *
 *     guest ──── host fd77:1::2 ──── fd77:1::1 router fd77:2::1 ──── MTU 1300 ──── fd77:2::2 peer
 *                     10.77.1.2      10.77.1.1        10.77.2.1                    10.77.2.2
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Namespace } from './namespace.ts';
import { execute, type Finished, GVPROXY, Running, succeed, temporaryFolder, until } from './process.ts';

/** A web server that says who has come, and one of UDP that says who has sent how much; for both versions, until its input ends. */
const SERVERS = `
import http.server, socket, socketserver, sys, threading
def plain(address): return address.replace('::ffff:', '')
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(('%s %s\\n' % (sys.argv[1], plain(self.client_address[0]))).encode())
        if self.path == '/bulk': self.wfile.write(b'x' * 5000000)
    def do_POST(self):
        length = len(self.rfile.read(int(self.headers['content-length'])))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'%d\\n' % length)
    def log_message(self, *args): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()
web = Server(('::', 8080), Handler)
threading.Thread(target=web.serve_forever, daemon=True).start()
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
u.bind(('::', 8081))
def echo():
    while True:
        data, peer = u.recvfrom(65536)
        u.sendto(('%s %s %d' % (sys.argv[1], plain(peer[0]), len(data))).encode(), peer)
threading.Thread(target=echo, daemon=True).start()
print('ready', flush=True)
sys.stdin.read()`;

export class Ipv6World {
  readonly folder: string = temporaryFolder();
  readonly api: string = join(this.folder, 'api.sock');
  readonly host: string = `gw6host-${process.pid}`;
  readonly router: string = `gw6router-${process.pid}`;
  readonly peer: string = `gw6peer-${process.pid}`;
  guest!: Namespace;
  #gvproxy!: Running;
  readonly #servers: Running[] = [];

  /** `config` is gvproxy's file. The guest's resolver is `resolver`. */
  static async create(config: string, resolver: string): Promise<Ipv6World> {
    const it = new Ipv6World();
    for (const name of [it.host, it.router, it.peer]) {
      await succeed('ip', ['netns', 'add', name]);
      // Addresses that nobody else has are not tested first.
      await it.sysctl(name, 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0');
      await it.ip(name, 'link', 'set', 'lo', 'up');
    }
    await it.sysctl(it.router, 'net.ipv6.conf.all.forwarding=1', 'net.ipv4.ip_forward=1');
    await it.#link(it.host, 'up0', 2, it.router, 'down0', 1, 1, 1500);
    await it.#link(it.router, 'up0', 1, it.peer, 'down0', 2, 2, 1300);
    await it.setRoutes();
    for (const via of ['fd77:2::1', '10.77.2.1']) await it.ip(it.peer, 'route', 'add', 'default', 'via', via);
    await it.ip(it.router, '-6', 'route', 'add', 'prohibit', 'fd77:4::/64');
    const [file, socket] = [join(it.folder, 'config.yaml'), join(it.folder, 'vm.sock')];
    writeFileSync(file, config);
    const flags = ['-config', file, '-listen-qemu', `unix://${socket}`, '-listen', `unix://${it.api}`];
    it.#gvproxy = new Running('ip', ['netns', 'exec', it.host, GVPROXY, ...flags]);
    await until(() => existsSync(socket) || it.#gvproxy.child.exitCode !== null, `gvproxy:\n${it.#gvproxy.output}`);
    it.guest = await Namespace.create(socket);
    writeFileSync(join('/etc/netns', it.guest.name, 'resolv.conf'), `nameserver ${resolver}\n`);
    await it.guest.configure();
    return it;
  }

  async #link(a: string, aName: string, aHost: number, b: string, bName: string, bHost: number, net: number, mtu: number): Promise<void> {
    const peer = ['peer', 'name', bName, 'mtu', `${mtu}`, 'netns', b];
    await this.ip(a, 'link', 'add', aName, 'mtu', `${mtu}`, 'type', 'veth', ...peer);
    for (const [name, device, host] of [
      [a, aName, aHost],
      [b, bName, bHost],
    ] as const) {
      await this.ip(name, 'addr', 'add', `10.77.${net}.${host}/24`, 'dev', device);
      await this.ip(name, 'addr', 'add', `fd77:${net}::${host}/64`, 'dev', device, 'nodad');
      await this.ip(name, 'link', 'set', device, 'up');
    }
  }

  /** The host's, to the router. */
  async setRoutes(): Promise<void> {
    for (const via of ['fd77:1::1', '10.77.1.1']) await this.ip(this.host, 'route', 'replace', 'default', 'via', via);
  }

  async sysctl(name: string, ...settings: string[]): Promise<void> {
    for (const setting of settings) await this.in(name, 'sysctl', '-q', '-w', setting);
  }

  ip(namespace: string, ...args: string[]): Promise<string> {
    return succeed('ip', ['-n', namespace, ...args]);
  }

  in(namespace: string, ...command: string[]): Promise<string> {
    return succeed('ip', ['netns', 'exec', namespace, ...command], 40_000);
  }

  run(namespace: string, ...command: string[]): Promise<Finished> {
    return execute('ip', ['netns', 'exec', namespace, ...command], 40_000);
  }

  /** Servers on ports 8080 (HTTP) and 8081 (UDP) of a namespace that say `who` they are. */
  async serve(namespace: string, who: string): Promise<void> {
    const servers = new Running('ip', ['netns', 'exec', namespace, 'python3', '-u', '-c', SERVERS, who]);
    this.#servers.push(servers);
    await until(() => servers.output.includes('ready'), `the servers:\n${servers.output}`);
  }

  /** Asks gvproxy for a forward. */
  async expose(protocol: string, local: string, remote: string): Promise<void> {
    const body = JSON.stringify({ protocol, local, remote });
    await succeed('curl', ['-sS', '--fail-with-body', '--unix-socket', this.api, 'http:/unix/services/forwarder/expose', '-d', body]);
  }

  async remove(): Promise<void> {
    await this.guest?.remove();
    for (const running of [...this.#servers, this.#gvproxy]) await running?.kill();
    for (const name of [this.host, this.router, this.peer]) await execute('ip', ['netns', 'del', name]);
  }
}
