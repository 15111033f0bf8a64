/**
 * Hyper-V sockets: what a service of the host is called, for its VMs, and how Windows writes its address.
 *
 * A service is a GUID. Those of one family stand for ports, so that a Linux guest reaches them as vsock: the port is the first 32 bits,
 *
 *     00000400-FACB-11E6-BD58-64006A7986D3   port 0x400
 *
 * and the host's registry must have a key for it before a VM may connect. Not run on Windows by us.
 */
import { SystemError } from './error.ts';

const AF_HYPERV = 34;
const SOCK_STREAM = 1;
const HV_PROTOCOL_RAW = 1;
/** Of GUIDs that stand for ports, behind the first 32 bits. */
const PORT_FAMILY = '-facb-11e6-bd58-64006a7986d3';
/** Any VM. */
export const HV_GUID_WILDCARD = '00000000-0000-0000-0000-000000000000';
const SERVICES = String.raw`HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Virtualization\GuestCommunicationServices`;

/** SOCKADDR_HV: family, reserved, the VM's id, the service's. */
export const SOCKADDR_HV = { size: 36, vm: 4, service: 20 } as const;

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isGuid(text: string): boolean {
  return GUID.test(text);
}

/** `port` has 32 bits. */
export function serviceOfPort(port: number): string {
  return `${port.toString(16).padStart(8, '0')}${PORT_FAMILY}`.toUpperCase();
}

/** Undefined for a GUID of another family. */
export function portOfService(service: string): number | undefined {
  const lower = service.toLowerCase();
  return isGuid(lower) && lower.endsWith(PORT_FAMILY) ? Number.parseInt(lower.slice(0, 8), 16) : undefined;
}

/** What has to be in the host's registry before VMs can reach the service, with any text as its `ElementName`. */
export function registryKey(service: string): string {
  return `${SERVICES}\\${service.toUpperCase()}`;
}

/** As Windows keeps it in memory: the first three groups are numbers, little-endian. */
export function writeGuid(bytes: Uint8Array, at: number, guid: string): void {
  const written = Buffer.from(guid.replaceAll('-', ''), 'hex');
  for (const [i, from] of [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].entries()) bytes[at + i] = written[from]!;
}

/** Returns the size. */
export function writeHypervSockaddr(bytes: Uint8Array, at: number, vm: string, service: string): number {
  bytes.fill(0, at, at + SOCKADDR_HV.size);
  bytes[at] = AF_HYPERV;
  writeGuid(bytes, at + SOCKADDR_HV.vm, vm);
  writeGuid(bytes, at + SOCKADDR_HV.service, service);
  return SOCKADDR_HV.size;
}

/** Of ws2_32.dll, what listening takes. Numbers are handles and results as Windows has them. */
export interface Winsock {
  socket(family: number, type: number, protocol: number): number;
  bind(socket: number, address: Uint8Array, length: number): number;
  listen(socket: number, backlog: number): number;
  closesocket(socket: number): number;
  lastError(): number;
}

/** WSAEACCES, WSAEAFNOSUPPORT, WSAEADDRINUSE. */
const REASONS: Readonly<Record<number, string>> = {
  10013: 'access is denied: run as administrator, or as a member of Hyper-V Administrators',
  10047: 'Hyper-V is not switched on',
  10048: 'another program serves it',
};

/** Loads and starts Winsock. Throws SystemError where there is none. */
async function loadWinsock(): Promise<Winsock> {
  const { default: koffi } = await import('koffi');
  const library = koffi.load('ws2_32.dll');
  const startup = library.func('int __stdcall WSAStartup(uint16_t, _Out_ uint8_t *)');
  const status = startup(0x0202, new Uint8Array(512)) as number;
  if (status !== 0) throw failure('WSAStartup', status, HV_GUID_WILDCARD);
  return {
    socket: library.func('uintptr_t __stdcall socket(int, int, int)'),
    bind: library.func('int __stdcall bind(uintptr_t, uint8_t *, int)'),
    listen: library.func('int __stdcall listen(uintptr_t, int)'),
    closesocket: library.func('int __stdcall closesocket(uintptr_t)'),
    lastError: library.func('int __stdcall WSAGetLastError()'),
  };
}

/**
 * Listens for a service's clients in every VM. Resolves with the socket's handle, which nothing here can serve yet: the turn loop
 * is Linux's. Rejects with SystemError.
 */
export async function listenHyperv(service: string, backlog: number, winsock?: Winsock): Promise<number> {
  const windows = winsock ?? (await loadWinsock());
  const handle = windows.socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
  // INVALID_SOCKET has all 64 bits set; koffi hands that over as a bigint.
  if (handle > Number.MAX_SAFE_INTEGER) throw failure('socket', windows.lastError(), service);
  const address = new Uint8Array(SOCKADDR_HV.size);
  const size = writeHypervSockaddr(address, 0, HV_GUID_WILDCARD, service);
  const bound = windows.bind(handle, address, size) === 0;
  if (bound && windows.listen(handle, backlog) === 0) return handle;
  const code = windows.lastError();
  windows.closesocket(handle);
  throw failure(bound ? 'listen' : 'bind', code, service);
}

function failure(call: string, code: number, service: string): SystemError {
  const reason = REASONS[code] ?? `is ${registryKey(service)} in the registry, with an ElementName?`;
  return new SystemError(call, code, { address: `vsock://${service}`, advice: reason });
}
