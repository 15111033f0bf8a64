/** What the switch counts, over all VMs; each drop counts for its VM too (PortCounters). */
export class SwitchCounters {
  /** Shorter than an Ethernet header. */
  runts = 0;
  unknownUnicast = 0;
  /** Source is a group address, zero, or the gateway's own. */
  badSource = 0;
  /** Source is the MAC address of another VM. */
  dropForeignMac = 0;
  /** The guard by lease: IP, ARP or neighbour discovery with an address that is not its VM's, answers of a DHCP server, router advertisements. */
  dropUnleased = 0;
  /** The guard by MAC address: router advertisements for other VMs, whose router is the gateway. */
  dropRouter = 0;
  /** For another VM, from one that is kept apart. */
  dropIsolated = 0;
  /** Broadcasts and multicasts beyond what one VM may have copied to all others, and frames beyond what it may have cut into small segments. */
  dropStorm = 0;
  /** The virtio-net header and the frame don't go together. */
  dropMalformed = 0;
  /** More than the receiving VM takes. */
  dropTooLarge = 0;
  /** Destination is on the port the frame came from. */
  hairpin = 0;
  /** Super frames that were cut for a VM that takes only whole ones. */
  segmented = 0;
  /** Copies of frames that went to VMs, and their bytes: VM to VM, and the gateway's broadcasts. */
  copies = 0;
  copiedBytes = 0;
}

/** Why a frame from a VM goes nowhere. */
export type Refusal =
  | 'runts'
  | 'unknownUnicast'
  | 'badSource'
  | 'dropForeignMac'
  | 'dropUnleased'
  | 'dropRouter'
  | 'dropIsolated'
  | 'dropStorm'
  | 'dropMalformed'
  | 'hairpin';
