/** Every command of `guestwire`: help, completion and the reading of command lines come from here. */
import type { CommandDefinition, OptionDefinition } from './command.ts';

const connect = {
  connect: {
    type: 'string',
    value: 'URL',
    summary: 'the one that listens there: unix:///path or tcp://host:port (also in GUESTWIRE_SOCKET)',
  },
  name: { type: 'string', value: 'NAME', summary: 'the one that runs under this name (default: default)' },
} as const satisfies Record<string, OptionDefinition>;
const listing = {
  json: { type: 'boolean', summary: 'print JSON, as the API has it' },
  ...connect,
} as const satisfies Record<string, OptionDefinition>;

const LISTING_NOTE = `A table on a terminal; elsewhere lines of tab-separated values with a headline. NO_COLOR turns colours off.`;

export const COMMANDS: readonly CommandDefinition[] = [
  {
    name: 'run',
    summary: 'run a network; flags as gvproxy has them (guestwire run -help)',
    usage: ['[flags]'],
    goFlags: true,
    options: {},
    notes: [
      `Flags are gvproxy's, with one dash or two; guestwire run -help lists them. -name NAME (default: default) is the name by which the\n` +
        `other commands find it: its socket is $XDG_RUNTIME_DIR/guestwire/NAME.sock, or without that variable /tmp/guestwire-UID/NAME.sock.`,
    ],
    examples: ['guestwire run -listen-qemu unix:///tmp/vm.sock', 'guestwire run -config guestwire.yaml -name web'],
    load: async () => (await import('./run.ts')).run,
  },
  {
    name: 'qemu',
    summary: 'run QEMU on a network of its own: for -netdev user',
    usage: ['[options] -- [QEMU] ARGUMENTS'],
    options: {
      forward: {
        type: 'string',
        short: 'f',
        multiple: true,
        value: 'PORT:PORT',
        summary: 'lead a port of the host to one of the VM, as guestwire forward add; any number',
      },
      mtu: { type: 'string', value: 'BYTES', summary: 'of the network; up to 65535, which is fastest (default: 1500)' },
      ipv6: { type: 'boolean', summary: 'give the VM IPv6 too' },
      ipv4: { type: 'string', value: 'BOOL', summary: '--ipv4=false, with --ipv6: give it IPv6 alone' },
      subnet6: { type: 'string', value: 'PREFIX', summary: 'one /64 for IPv6, which is then on (default: derived)' },
      mac: { type: 'string', value: 'MAC', summary: "of the VM's network card (default: 5a:94:ef:e4:0c:ee)" },
      device: { type: 'string', value: 'TYPE', summary: "the network card, as QEMU's -device names it (default: virtio-net-pci)" },
      pcap: { type: 'string', value: 'FILE', summary: 'write every frame to this file' },
      qemu: { type: 'string', value: 'PROGRAM', summary: "another QEMU (default: the one for this machine's processor)" },
      name: { type: 'string', value: 'NAME', summary: 'let the other commands find this network by --name NAME' },
    },
    notes: [
      `QEMU gets -netdev and -device in front of its arguments, unless these have a -netdev, -nic or -net of their own; where they say\n` +
        `{socket} it gets the path of the network's socket. The VM has 192.168.127.2 by DHCP; the host's loopback is 192.168.127.254.`,
      `Forwards lead to the VM's IPv4 address, and with --ipv4=false to the one that it asks for by DHCPv6, unless they name another.`,
    ],
    examples: [
      'guestwire qemu --forward 8080:80 --forward 2222:22 -- -m 1G -hda disk.qcow2',
      'guestwire qemu --ipv6 --forward [::1]:8080:80 -- -m 1G -hda disk.qcow2',
      'guestwire qemu --mtu 65520 -- qemu-system-aarch64 -M virt -cpu max -kernel Image',
    ],
    statuses: { else: "QEMU's own, or 128 and the number of the signal that has ended it" },
    load: async () => (await import('./qemu.ts')).qemu,
  },
  {
    name: 'status',
    summary: 'what the running network is and does',
    usage: ['[options]'],
    options: listing,
    notes: [LISTING_NOTE],
    examples: ['guestwire status', 'guestwire status --connect unix:///tmp/api.sock --json'],
    load: async () => (await import('./status.ts')).status,
  },
  {
    name: 'forward',
    summary: 'ports of the host that lead to guests: list, add, remove',
    usage: ['ls', 'add [PROTOCOL:][ADDRESS:]PORT:[GUEST:]PORT …', 'rm [PROTOCOL:][ADDRESS:]PORT …'],
    verbs: ['ls', 'add', 'rm'],
    options: listing,
    notes: [
      `PROTOCOL is tcp or udp, default tcp; ADDRESS one of the host, default 127.0.0.1; GUEST default the first VM's address. PORT may be a\n` +
        `range, 8000-8010, and 0 on the host's side: any free one. Several are added, or removed, all or none.`,
      LISTING_NOTE,
    ],
    examples: [
      'guestwire forward add 8080:80 udp:5353:53',
      'guestwire forward add 0.0.0.0:8000-8010:192.168.127.3:9000-9010',
      'guestwire forward add [::1]:8080:[fd12:3456:789a:1::2]:80',
      'guestwire forward rm 8080',
      'guestwire forward ls --json',
    ],
    load: async () => (await import('./forward.ts')).forward,
  },
  {
    name: 'dns',
    summary: 'names that the gateway answers for itself: list, add, remove',
    usage: ['ls', 'add NAME ADDRESS', 'rm NAME'],
    verbs: ['ls', 'add', 'rm'],
    options: { zone: { type: 'string', value: 'ZONE', summary: 'the zone that NAME is in (default: see below)' }, ...listing },
    notes: [
      `A name belongs to a zone, and the gateway answers for a whole zone: other names of it do not exist. Without --zone it is the\n` +
        `longest zone there is that NAME ends with, else what stands behind NAME's first dot, which is made. rm of a zone's last name removes the zone.`,
      LISTING_NOTE,
    ],
    examples: ['guestwire dns add db.test 192.168.127.3', 'guestwire dns rm db.test', 'guestwire dns ls'],
    load: async () => (await import('./dns.ts')).dns,
  },
  {
    name: 'leases',
    summary: 'which address belongs to which MAC address',
    usage: ['[options]'],
    options: listing,
    notes: [LISTING_NOTE],
    examples: ['guestwire leases', 'guestwire leases | cut -f1'],
    load: async () => (await import('./leases.ts')).leases,
  },
  {
    name: 'flows',
    summary: "guests' conversations: list, end one",
    usage: ['[options]', '--kill ID'],
    options: {
      kill: { type: 'string', value: 'ID', summary: 'end this one: TCP is reset on both sides' },
      protocol: { type: 'string', value: 'tcp|udp', summary: 'only these' },
      guest: { type: 'string', value: 'ADDRESS', summary: 'only those of this guest' },
      ...listing,
    },
    notes: [LISTING_NOTE],
    examples: ['guestwire flows --guest 192.168.127.2', 'guestwire flows --kill tcp-17'],
    load: async () => (await import('./flows.ts')).flows,
  },
  {
    name: 'ports',
    summary: 'VMs that are attached',
    usage: ['[options]'],
    options: listing,
    notes: [LISTING_NOTE],
    examples: ['guestwire ports'],
    load: async () => (await import('./ports.ts')).ports,
  },
  {
    name: 'counters',
    summary: 'everything that is counted',
    usage: ['[options] [PREFIX]'],
    options: { all: { type: 'boolean', short: 'a', summary: 'also those that are 0' }, ...listing },
    notes: [LISTING_NOTE],
    examples: ['guestwire counters tcp.', 'guestwire counters --all'],
    load: async () => (await import('./counters.ts')).counters,
  },
  {
    name: 'config',
    summary: 'print the configuration file that does what these flags do',
    usage: ['[flags]'],
    goFlags: true,
    options: {},
    notes: ["Flags are gvproxy's: guestwire run -help lists them."],
    examples: ['guestwire config -mtu 4000 > guestwire.yaml', 'guestwire config -config old.yaml'],
    load: async () => (await import('./config.ts')).config,
  },
  {
    name: 'top',
    summary: 'what VMs do, live on a terminal',
    usage: ['[options]'],
    options: connect,
    notes: ['It is drawn anew every second; q or Ctrl-C ends it.'],
    examples: ['guestwire top', 'guestwire top --name web'],
    load: async () => (await import('./top.ts')).top,
  },
  {
    name: 'capture',
    summary: 'write frames as they pass, as pcapng',
    usage: ['[options]'],
    options: {
      output: { type: 'string', short: 'o', value: 'FILE', summary: 'where to; - is standard output (default: -)' },
      vm: { type: 'string', value: 'VM', summary: 'of this VM alone, until it goes: its name, MAC or IP address, or id' },
      count: { type: 'string', short: 'c', value: 'NUMBER', summary: 'end after so many frames' },
      ...connect,
    },
    notes: ['It ends with Ctrl-C. Frames that come faster than they are taken are lost; how many is told at the end, and in the file.'],
    examples: [
      'guestwire capture -o vm.pcapng --vm 192.168.127.2',
      'guestwire capture | tshark -r -',
      'guestwire capture | wireshark -k -i -',
    ],
    load: async () => (await import('./capture.ts')).capture,
  },
  {
    name: 'doctor',
    summary: 'what this host can do, and what to do about what it can not',
    usage: ['[--json]'],
    options: { json: listing.json },
    notes: ['ok, warn or fail for each: fail is what guestwire can not do without; the exit status is 1 then.'],
    examples: ['guestwire doctor'],
    load: async () => (await import('./doctor.ts')).doctor,
  },
  {
    name: 'check-config',
    summary: 'say what is wrong with a configuration file',
    usage: ['FILE'],
    takesFile: true,
    options: {},
    notes: ['Nothing is opened, and a network may run with the file. Unknown keys are warned of.'],
    examples: ['guestwire check-config guestwire.yaml'],
    load: async () => (await import('./check-config.ts')).checkConfig,
  },
  {
    name: 'completion',
    summary: 'print what makes a shell complete the words of this command',
    usage: ['bash|zsh|fish'],
    verbs: ['bash', 'zsh', 'fish'],
    options: {},
    examples: [
      'guestwire completion bash > ~/.local/share/bash-completion/completions/guestwire',
      'guestwire completion zsh > ~/.zfunc/_guestwire',
      'guestwire completion fish > ~/.config/fish/completions/guestwire.fish',
    ],
    load: async () => (await import('./completion.ts')).completion,
  },
];
