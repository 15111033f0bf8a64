/**
 * Copies frames into VMs' ports, each in the form that its VM takes.
 *
 *     whole frame                        ─► copied
 *     open checksum, VM with offload     ─► copied with its virtio-net header
 *     open checksum, other VM            ─► copied, completed
 *     super frame, VM with offload       ─► copied with its header
 *     super frame, other VM              ─► cut into segments
 *
 * One claim per VM and frame: all segments or none. A VM that doesn't read loses frames and delays nobody.
 */
import type { Sum } from '../packet/checksum.ts';
import * as ethernet from '../packet/ethernet.ts';
import * as vnet from '../packet/vnet-header.ts';
import type { Port } from '../link/port.ts';
import { Segmentation } from './segmentation.ts';
import { SuperFrame, TCP_CHECKSUM, UDP_CHECKSUM } from './super-frame.ts';
import type { SwitchCounters } from './switch-counters.ts';

/** Bytes of a frame for each of its segments. Cards are given segments of 500 and more; those of one byte would be work alone. */
const SMALL = 256;

/** What is to be done with the frame at hand. */
type Form = 'whole' | 'open' | 'super';

export class Delivery {
  readonly #bytes: Uint8Array;
  readonly #counters: SwitchCounters;
  readonly #mtu: number;
  readonly #segmentation: Segmentation;
  readonly #frame: SuperFrame = new SuperFrame();
  #form: Form = 'whole';
  /** The frame is larger than the network's MTU allows, from a VM that says nothing of segments: not for everyone. */
  #oversize = false;

  constructor(bytes: Uint8Array, sum: Sum, mtu: number, counters: SwitchCounters) {
    this.#bytes = bytes;
    this.#counters = counters;
    this.#mtu = mtu;
    this.#segmentation = new Segmentation(bytes, sum);
  }

  /**
   * Looks at the frame at `at`, which `from` has sent; null for the gateway. To be called before `copy`, once for all VMs that get it.
   * False when what its VM says of it makes no sense: then it is to be dropped.
   */
  take(from: Port | null, at: number, length: number): boolean {
    this.#form = 'whole';
    this.#oversize = false;
    if (from === null) return true;
    if (from.offload) return this.#takeDescribed(at, length);
    if (from.largestFrame > 0) this.#takeUndescribed(at, length);
    return true;
  }

  #takeDescribed(at: number, length: number): boolean {
    if ((vnet.flags(this.#bytes, at - vnet.VNET_HEADER) & vnet.NEEDS_CHECKSUM) === 0) return true;
    if (!this.#frame.describe(this.#bytes, at, length)) return false;
    this.#form = this.#frame.size > 0 ? 'super' : 'open';
    return true;
  }

  /** krunkit with offload and without a header: a large TCP segment or an open checksum is told by the frame alone. */
  #takeUndescribed(at: number, length: number): void {
    const frame = this.#frame;
    const limit = this.#mtu + ethernet.HEADER;
    const located = frame.locate(this.#bytes, at, length);
    this.#oversize = length > limit + (located ? frame.network - ethernet.HEADER : 0);
    if (!located) return;
    frame.size = 0;
    frame.segments = 1;
    frame.checksumStart = frame.transport;
    frame.checksumOffset = frame.isUdp ? UDP_CHECKSUM : TCP_CHECKSUM;
    const size = this.#mtu - (frame.payload - frame.network);
    if (this.#oversize && !frame.isUdp && size > 0 && frame.cut(this.#bytes, at, size)) {
      this.#form = 'super';
      this.#segmentation.open(at, frame);
    } else if (this.#segmentation.isPartial(at, frame)) {
      this.#form = 'open';
    }
  }

  /** What cutting the frame that was taken costs more than copying it: segments that its length doesn't account for, or KiB of headers. */
  get excess(): number {
    if (this.#form !== 'super') return 0;
    const { segments, length, payload } = this.#frame;
    return Math.max(0, segments - length / SMALL, (segments * payload - length) / 1024);
  }

  /** Copies the frame that was taken into the port. */
  copy(to: Port, at: number, length: number): void {
    const form = this.#form;
    if (form === 'super' && this.#mustCut(to, length)) return this.#segments(to, at, length);
    if (to.largestFrame > 0 ? length > to.largestFrame : this.#oversize) return this.#tooLarge(to);
    const claim = to.claim(to.headroom + length);
    if (claim < 0) {
      to.counters.txDropped++;
      return;
    }
    const place = claim + to.headroom;
    this.#bytes.copyWithin(place, at, at + length);
    const described = form !== 'whole' && to.offload;
    if (described) this.#describe(place);
    else if (form !== 'whole') this.#segmentation.complete(place, this.#frame);
    to.commit(place, length, described);
    this.#counters.copies++;
    this.#counters.copiedBytes += length;
  }

  /** Datagrams always: nobody has said that its VM takes several at once, and they are no whole without a header. */
  #mustCut(to: Port, length: number): boolean {
    return this.#frame.isUdp || (!to.offload && to.largestFrame < length);
  }

  /** Written anew: what else a VM has put into its header is not for another one. */
  #describe(place: number): void {
    const { size, isIpv6, payload, checksumStart, checksumOffset } = this.#frame;
    const type = size === 0 ? vnet.GSO_NONE : isIpv6 ? vnet.GSO_TCPV6 : vnet.GSO_TCPV4;
    vnet.write(this.#bytes, place - vnet.VNET_HEADER, type, size === 0 ? 0 : payload, size, checksumStart, checksumOffset);
  }

  #segments(to: Port, at: number, length: number): void {
    const frame = this.#frame;
    const segmentation = this.#segmentation;
    const { headroom } = to;
    const claim = to.claim(frame.segments * (headroom + frame.payload) + length - frame.payload);
    if (claim < 0) {
      to.counters.txDropped += frame.segments;
      return;
    }
    let place = claim;
    for (let i = 0; i < frame.segments; i++) {
      place += headroom;
      segmentation.write(at, frame, i, place);
      const segment = segmentation.lengthOf(frame, i);
      to.commit(place, segment);
      place += segment;
    }
    this.#counters.segmented++;
    this.#counters.copies += frame.segments;
    this.#counters.copiedBytes += place - claim - frame.segments * headroom;
  }

  #tooLarge(to: Port): void {
    this.#counters.dropTooLarge++;
    to.counters.txDropped++;
  }
}
