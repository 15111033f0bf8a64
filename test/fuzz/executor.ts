/**
 * Runs a program in a world: four VMs, sixteen conversations, hosts that do what steps say. Everything they are sent is
 * judged; afterwards the world must have come to rest, and must still serve a newcomer.
 */
import { parseMac, type Mac } from '../../src/packet/mac.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import { isMulticast } from '../../src/packet/ipv6.ts';
import * as tcp from '../../src/packet/tcp.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { TcpFlow } from '../../src/flow/tcp/flow.ts';
import { UdpFlow } from '../../src/flow/udp/flow.ts';
import type { EndpointHandler } from '../../src/host/endpoint.ts';
import type { MemoryPort } from '../../src/link/memory-port.ts';
import * as frames from './frames.ts';
import { TARGETS6 } from './frames6.ts';
import { Guests6 } from './guests6.ts';
import * as hosts from './hosts.ts';
import { GATEWAY6, vmOf6 } from './addresses6.ts';
import { Judge } from './judge.ts';
import { isMutated, mutate } from './mutation.ts';
import { pick, type Program, Step } from './program.ts';
import { type Packet, Verdict } from './verdict.ts';
import { GATEWAY, SUBNET, type World } from './world.ts';

const GATEWAYS: readonly IpAddress[] = [IpAddress.v4(GATEWAY), GATEWAY6];
const VMS = 4;
const SLOTS = 16;
/** Of one program; what is beyond is not sent. A few steps can ask for a hundred thousand fragments. */
const FRAME_LIMIT = 1500;
/** Milliseconds of processor time that a turn may take, the judging included: what takes longer holds up every VM. */
const TURN_LIMIT = 500;
const TIMES = [1, 5, 41, 210, 1000, 3000, 31_000, 121_000, 7_300_000];
const FLAGS = [
  tcp.SYN,
  tcp.ACK,
  tcp.ACK | tcp.PSH,
  tcp.ACK | tcp.PSH,
  tcp.FIN | tcp.ACK,
  tcp.SYN | tcp.ACK,
  tcp.RST,
  tcp.RST | tcp.ACK,
  tcp.URG | tcp.ACK,
  tcp.ACK,
];
const DELTAS = [-1, 1, 100, -100, 1460, -1460, 65_535, -65_535, 524_288, 0x3fffffff, 0x7fffffff, -0x80000000];
const WINDOWS = [0xffff, 0xffff, 0, 1, 100, 535, 1460, 4096];

interface Vm {
  readonly mac: Mac;
  readonly address: number;
  readonly judge: Judge;
  port: MemoryPort | null;
  /** A frame of it was spoiled: what its hosts get may be anything. */
  spoiled: boolean;
  /** What it was sent last, to quote. */
  last: Uint8Array;
}

/** A guest's view of a TCP connection, or a pair of ports for datagrams. */
interface Conversation {
  readonly vm: number;
  port: number;
  remote: IpAddress;
  remotePort: number;
  seq: number;
  ack: number;
}

export class Execution {
  readonly world: World;
  readonly #vms: Vm[];
  readonly #conversations: Conversation[];
  readonly #targets: readonly frames.Target[];
  readonly #guests6: Guests6;
  readonly #kinds: readonly Action[];
  readonly #sent: { vm: number; frame: Uint8Array }[] = [];
  #fault: Error | null = null;
  /** Frames handed to the network. */
  frames = 0;

  constructor(world: World) {
    this.world = world;
    this.#targets = !world.ipv6 ? frames.TARGETS : world.ipv4 ? [...TARGETS6, ...frames.TARGETS.slice(0, 4)] : TARGETS6;
    this.#kinds = world.ipv6 ? DUAL_KINDS : KINDS;
    this.#vms = Array.from({ length: VMS }, (_, i) => ({
      mac: parseMac(`5a:94:ef:e4:01:0${i}`)!,
      address: SUBNET + 10 + i,
      judge: new Judge(world),
      port: null,
      spoiled: false,
      last: new Uint8Array(0),
    }));
    this.#conversations = Array.from({ length: SLOTS }, (_, i) => ({
      vm: i % VMS,
      port: 40_000 + i,
      ...this.#target(i),
      seq: i * 0x11111111,
      ack: 0,
    }));
    this.#guests6 = new Guests6({
      mac: (vm) => this.#vms[vm]!.mac,
      send: (vm, frame) => this.#send(vm, frame),
      emit: (step, vm, frame) => this.#emit(step, vm, frame),
      spoil: (vm) => {
        this.#vms[vm]!.spoiled = true;
      },
      frames: () => this.frames,
    });
  }

  #target(number: number): { remote: IpAddress; remotePort: number } {
    const { address, port } = pick(this.#targets, number);
    return { remote: address, remotePort: port };
  }

  /** Throws what was wrong; the world is of no use then. */
  async run(program: Program): Promise<void> {
    const world = this.world;
    world.longestTurn = 0;
    world.host.answer = 0;
    world.host.onWritten = (handler, bytes, at, length) => this.#written(handler, bytes, at, length);
    for (const i of this.#vms.keys()) this.#attach(i);
    world.gateway.ipv6?.advertiser.start();
    for (const bytes of program.steps) {
      const step = new Step(bytes);
      this.#step(step);
      if (step.time >= 200) {
        world.clock.advance(pick(TIMES, step.time));
        world.turn();
      }
      if ((step.how & 4) === 0) world.turn();
      // oxlint-disable-next-line no-await-in-loop -- steps come one after the other
      await world.settle();
      this.#check();
    }
    await this.#end();
  }

  #check(): void {
    if (this.#fault !== null) throw this.#fault;
    const { longestTurn } = this.world;
    if (longestTurn > TURN_LIMIT) throw new Verdict(`a turn of ${Math.round(longestTurn)} ms`);
  }

  async #end(): Promise<void> {
    const world = this.world;
    world.turn();
    for (const { port } of this.#vms) port?.resume();
    const left = await world.rest();
    if (left.length > 0) throw new Verdict(`left over after two days of silence: ${left.join(', ')}`);
    for (const vm of this.#vms) this.#detach(vm);
    world.turn();
    this.#check();
  }

  #attach(number: number): void {
    const vm = this.#vms[number]!;
    vm.port = this.world.attach(`vm ${number}`, (bytes, at, length) => this.#received(number, bytes, at, length));
    this.#send(number, frames.arpFrame(vm.mac, vm.address, new Step(Uint8Array.of(0, 0, 2, ...new Uint8Array(13)))));
    if (this.world.ipv6) this.#guests6.arrive(number);
  }

  #detach(vm: Vm): void {
    if (vm.port !== null) this.world.detach(vm.port);
    vm.port = null;
  }

  /** Faults are kept: an exception out of a port's callback would be the port's. */
  #received(number: number, bytes: Uint8Array, at: number, length: number): void {
    try {
      const vm = this.#vms[number]!;
      const packet = vm.judge.frame(bytes, at, length);
      if (packet === null) return;
      if (!isFor(packet, number, vm) && !vm.spoiled) throw new Verdict('a packet for another VM');
      vm.last = bytes.slice(at + ethernet.HEADER, at + length);
      if (packet.protocol === ipv4.PROTOCOL_TCP) this.#heardTcp(number, packet);
    } catch (error) {
      this.#fault ??= error as Error;
    }
  }

  #heardTcp(number: number, { source, payload }: Packet): void {
    const [from, to, flags] = [tcp.sourcePort(payload, 0), tcp.destinationPort(payload, 0), tcp.flags(payload, 0)];
    let conversation = this.#conversations.find(
      ({ vm, port, remote, remotePort }) => vm === number && port === to && remote.equals(source) && remotePort === from,
    );
    if (conversation === undefined) {
      if ((flags & tcp.SYN) === 0) return;
      // A forwarded connection takes the last place of its VM.
      conversation = this.#conversations[SLOTS - VMS + number]!;
      conversation.port = to;
      conversation.remote = source;
      conversation.remotePort = from;
    }
    const end = (tcp.sequence(payload, 0) + payload.length - tcp.headerLength(payload, 0) + (flags & 3 ? 1 : 0)) | 0;
    if (flags & tcp.SYN || ((end - conversation.ack) | 0) > 0) conversation.ack = end;
  }

  /** What reaches a host is its guest's, as long as that guest has told no lies. */
  #written(handler: EndpointHandler, bytes: Uint8Array, at: number, length: number): void {
    if (!(handler instanceof TcpFlow || handler instanceof UdpFlow)) return;
    const { guest0: w0, guest2: w2, guest3: w3 } = handler;
    const number = handler.neighbour.isIpv4 ? w3 - (SUBNET + 10) : vmOf6({ w0, w2, w3 });
    if (this.#vms[number]?.spoiled !== false) return;
    for (let i = at; i < at + length; i++) {
      if (bytes[i]! >>> 4 === number + 1) continue;
      this.#fault ??= new Verdict(`a host got byte ${bytes[i]!} from VM ${number}, which did not send it`);
      return;
    }
  }

  #send(number: number, frame: Uint8Array): void {
    if (this.frames >= FRAME_LIMIT) return;
    this.frames++;
    this.#sent.push({ vm: number, frame });
    if (this.#sent.length > 32) this.#sent.shift();
    this.#vms[number]!.port?.send(frame);
  }

  #step(step: Step): void {
    pick(this.#kinds, step.kind)(this, step, this.#conversations[step.slot % SLOTS]!);
  }

  /** Sends a packet as the step says: mutated, mended, as it is. */
  #emit(step: Step, vm: number, frame: Uint8Array): void {
    const previous = this.#sent.at(-1)?.frame ?? frame;
    if ((step.how & 3) !== 3) frames.mendChecksums(frame);
    const changed = mutate(frame, step, previous);
    if (isMutated(step)) {
      this.#vms[vm]!.spoiled = true;
      if ((step.how & 3) === 1) frames.mendChecksums(changed);
    }
    this.#send(vm, changed);
  }

  #packet(step: Step, vm: number, to: IpAddress, protocol: number, payload: Uint8Array): void {
    if (!to.isIpv4) return this.#guests6.packet(step, vm, to, protocol, payload);
    const { mac, address } = this.#vms[vm]!;
    const destination = to.w3;
    const unconfigured = protocol === ipv4.PROTOCOL_UDP && destination === -1;
    const options = step.options >= 252 ? new Uint8Array((step.extra % 11) * 4).fill(step.value) : undefined;
    const frame = frames.packet({ mac, source: unconfigured ? 0 : address, destination }, protocol, payload, options);
    if (step.how >= 0xe0) this.#fragments(step, vm, frame);
    else this.#emit(step, vm, frame);
  }

  /** In pieces: in order or backwards, one twice, one missing, one overlapping. */
  #fragments(step: Step, vm: number, whole: Uint8Array): void {
    frames.mendChecksums(whole);
    // Without the options: a fragment's payload is the datagram's.
    const payload = whole.subarray(ethernet.HEADER + ipv4.headerLength(whole, ethernet.HEADER));
    const size = Math.max(pick([8, 16, 64, 512, 1480, 8192], step.extra), (payload.length >>> 8) & ~7);
    const { mac, address } = this.#vms[vm]!;
    const destination = ipv4.destination(whole, ethernet.HEADER);
    const id = (step.position + (step.value & 16 ? this.frames : 0)) & 0xffff;
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < payload.length; at += size) {
      const piece = frames.packet({ mac, source: address, destination }, whole[ethernet.HEADER + 9]!, payload.subarray(at, at + size));
      const more = at + size < payload.length ? ipv4.FLAG_MF : 0;
      const overlap = step.value >= 240 && at > 0 ? 1 : 0;
      ipv4.write(
        piece,
        ethernet.HEADER,
        piece.length - ethernet.HEADER,
        id,
        more | ((at >>> 3) - overlap),
        64,
        whole[23]!,
        address,
        destination,
      );
      pieces.push(piece);
    }
    if (step.value & 1) pieces.reverse();
    if ((step.value & 6) === 6) pieces.splice(step.position % pieces.length, 1);
    if (step.value & 8 && pieces.length > 0) pieces.push(pieces[step.position % pieces.length]!);
    for (const [i, piece] of pieces.entries()) {
      if (i === step.position % pieces.length) this.#emit(step, vm, piece);
      else this.#send(vm, piece);
    }
  }

  tcp(step: Step, conversation: Conversation): void {
    const flags = step.flags < 240 ? pick(FLAGS, step.flags) : step.extra;
    const isSyn = (flags & tcp.SYN) !== 0;
    if (isSyn && (flags & tcp.ACK) === 0) Object.assign(conversation, this.#target(step.slot >>> 4));
    const repeat = pick([1, 1, 1, 1, 1, 2, 8, 40], step.how >>> 3);
    for (let i = 0; i < repeat; i++) {
      const length = isSyn && step.length < 0xf000 ? 0 : Math.min(frames.payloadLength(step), this.world.mtu - 100);
      const isDns = conversation.remotePort === 53 && GATEWAYS.some((address) => address.equals(conversation.remote));
      const payload = isDns && length > 0 ? dnsOverTcp(step) : frames.tagged(conversation.vm, Math.max(length, 0));
      const exact = step.seq < 208;
      const seq = exact ? conversation.seq : (conversation.seq + pick(DELTAS, step.seq)) | 0;
      const ack = flags & tcp.ACK ? (step.ack < 208 ? conversation.ack : (conversation.ack + pick(DELTAS, step.ack)) | 0) : 0;
      const fields = { port: conversation.port, remotePort: conversation.remotePort, seq, ack, flags, window: pick(WINDOWS, step.window) };
      const options = frames.tcpOptions(step, isSyn, conversation.ack);
      this.#packet(step, conversation.vm, conversation.remote, ipv4.PROTOCOL_TCP, frames.tcpBytes(fields, options, payload));
      if (exact) conversation.seq = (conversation.seq + payload.length + (isSyn ? 1 : 0) + (flags & tcp.FIN)) | 0;
    }
  }

  /** A connection as an honest guest makes it. */
  open(step: Step, conversation: Conversation): void {
    const plain = Uint8Array.of(0, step.slot, 0, 0, 0, 0, 0, 0, step.options, 0, 0, 0, 0, 0, 0, step.extra);
    conversation.port = 40_000 + ((conversation.port + 16) % 20_000);
    this.tcp(new Step(plain), conversation);
    this.world.turn();
    plain[2] = 1;
    plain[8] = 0;
    this.tcp(new Step(plain), conversation);
  }

  udp(step: Step, conversation: Conversation): void {
    const { address, port } = pick(this.#targets, step.slot >>> 4);
    const repeat = pick([1, 1, 1, 1, 1, 2, 8, 200], step.how >>> 3);
    const payload = frames.tagged(conversation.vm, frames.payloadLength(step));
    for (let i = 0; i < repeat; i++) {
      const from = step.flags & 1 ? 30_000 + step.extra + i : conversation.port;
      this.#packet(step, conversation.vm, address, ipv4.PROTOCOL_UDP, frames.udpBytes(from, port, payload));
    }
  }

  dns(step: Step, { vm, port }: Conversation): void {
    const gateway = this.world.ipv6 ? pick(GATEWAYS, step.slot >>> 4) : GATEWAYS[0]!;
    this.#packet(step, vm, gateway, ipv4.PROTOCOL_UDP, frames.udpBytes(port, 53, frames.dnsBytes(step)));
  }

  dhcp(step: Step, { vm }: Conversation): void {
    const destination = step.flags & 64 ? GATEWAYS[0]! : IpAddress.v4(-1);
    this.#packet(step, vm, destination, ipv4.PROTOCOL_UDP, frames.udpBytes(68, 67, frames.dhcpBytes(this.#vms[vm]!.mac, step)));
  }

  echo(step: Step, { vm }: Conversation): void {
    const { address } = pick(this.#targets, step.slot >>> 4);
    if (!address.isIpv4) return this.#guests6.echo(step, vm, address);
    const payload = frames.tagged(vm, frames.payloadLength(step));
    this.#packet(step, vm, address, ipv4.PROTOCOL_ICMP, frames.echoBytes(step, payload));
  }

  icmpError(step: Step, { vm }: Conversation): void {
    const { last } = this.#vms[vm]!;
    if (last.length > 0 && last[0]! >>> 4 === 6) this.#guests6.error(step, vm, last);
    else this.#packet(step, vm, GATEWAYS[0]!, ipv4.PROTOCOL_ICMP, frames.errorBytes(step, last));
  }

  discovery(step: Step, { vm }: Conversation): void {
    this.#guests6.discovery(step, vm);
  }

  listener(step: Step, { vm }: Conversation): void {
    this.#guests6.listener(step, vm);
  }

  dhcp6(step: Step, { vm }: Conversation): void {
    this.#guests6.dhcp(step, vm);
  }

  arp(step: Step, { vm }: Conversation): void {
    this.#emit(step, vm, frames.arpFrame(this.#vms[vm]!.mac, this.#vms[vm]!.address, step));
  }

  otherProtocol(step: Step, { vm, remote }: Conversation): void {
    this.#packet(step, vm, remote, step.extra, frames.tagged(vm, frames.payloadLength(step)));
  }

  /** To another VM, or to everyone. */
  betweenVms(step: Step, { vm }: Conversation): void {
    const { mac } = this.#vms[vm]!;
    const to = this.#vms[step.extra % VMS]!.mac;
    const frame = new Uint8Array(ethernet.HEADER + frames.payloadLength(step)).fill(step.value, ethernet.HEADER);
    ethernet.write(
      frame,
      0,
      step.flags & 1 ? 0xffff : to.hi,
      step.flags & 1 ? -1 : to.lo,
      mac.hi,
      mac.lo,
      step.flags & 2 ? 0x86dd : 0x0800,
    );
    this.#emit(step, vm, frame);
  }

  noise(step: Step, { vm }: Conversation): void {
    const frame = new Uint8Array(step.length % 200);
    let state = (step.position << 16) | step.length | 1;
    for (let i = 0; i < frame.length; i++) {
      state = Math.imul(state, 0x9e3779b1) ^ (state >>> 15);
      frame[i] = state;
    }
    this.#vms[vm]!.spoiled = true;
    this.#send(vm, frame);
  }

  /** An earlier frame again, perhaps from another VM. */
  replay(step: Step, { vm }: Conversation): void {
    const earlier = this.#sent.at(-1 - (step.extra % 32));
    if (earlier === undefined) return;
    const from = step.flags & 1 ? vm : earlier.vm;
    this.#vms[from]!.spoiled = true;
    this.#vms[earlier.vm]!.spoiled = true;
    this.#send(from, step.flags & 2 ? mutate(Uint8Array.from(earlier.frame), step, earlier.frame) : earlier.frame);
  }

  link(step: Step, { vm }: Conversation): void {
    const machine = this.#vms[vm]!;
    if (step.flags < 100) machine.port?.pause();
    else if (step.flags < 220) machine.port?.resume();
    else if (machine.port !== null) this.#detach(machine);
    else this.#attach(vm);
  }

  time(step: Step): void {
    this.world.clock.advance(pick(TIMES, step.extra));
    this.world.turn();
  }
}

type Action = (run: Execution, step: Step, conversation: Conversation) => void;

/** What the kinds of steps are, and how likely. */
const KINDS: readonly Action[] = (
  [
    [22, (run, step, conversation) => run.tcp(step, conversation)],
    [5, (run, step, conversation) => run.open(step, conversation)],
    [10, (run, step) => hosts.stream(run.world, step)],
    [5, (run, step, conversation) => run.udp(step, conversation)],
    [3, (run, step, conversation) => run.dns(step, conversation)],
    [2, (run, step) => hosts.answerDns(run.world, step)],
    [3, (run, step, conversation) => run.dhcp(step, conversation)],
    [2, (run, step, conversation) => run.echo(step, conversation)],
    [3, (run, step, conversation) => run.icmpError(step, conversation)],
    [2, (run, step, conversation) => run.arp(step, conversation)],
    [3, (run, step) => hosts.datagram(run.world, step)],
    [2, (run, step) => hosts.policy(run.world, step)],
    [2, (run, step) => hosts.accept(run.world, step)],
    [3, (run, step, conversation) => run.replay(step, conversation)],
    [3, (run, step, conversation) => run.link(step, conversation)],
    [3, (run, step) => run.time(step)],
    [1, (run, step, conversation) => run.noise(step, conversation)],
    [1, (run, step, conversation) => run.betweenVms(step, conversation)],
    [1, (run, step, conversation) => run.otherProtocol(step, conversation)],
  ] as [number, Action][]
).flatMap(([weight, action]) => Array.from({ length: weight }, () => action));

/** In the worlds with IPv6: what only they have comes on top. */
const DUAL_KINDS: readonly Action[] = [
  ...KINDS,
  ...(
    [
      [6, (run, step, conversation) => run.discovery(step, conversation)],
      [2, (run, step, conversation) => run.listener(step, conversation)],
      [5, (run, step, conversation) => run.dhcp6(step, conversation)],
    ] as [number, Action][]
  ).flatMap(([weight, action]) => Array.from({ length: weight }, () => action)),
];

/** To the VM itself, or to a group. */
function isFor({ destination }: Packet, number: number, { address }: Vm): boolean {
  if (destination.isIpv4) return destination.w3 === address || destination.w3 === -1;
  return isMulticast(destination.w0) || vmOf6(destination) === number;
}

function dnsOverTcp(step: Step): Uint8Array {
  const query = frames.dnsBytes(step);
  const wrong = step.value >= 240 ? step.length : query.length;
  return Buffer.concat([Uint8Array.of(wrong >>> 8, wrong), query]);
}
