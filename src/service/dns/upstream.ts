/** How queries reach the host's resolvers. */

export interface Upstream {
  /** Sends one UDP query and resolves with the first answer that `accept` takes. Rejects on errors and when `timeout` ms have passed. */
  askUdp(server: string, query: Uint8Array, timeout: number, accept: (answer: Uint8Array) => boolean): Promise<Uint8Array>;
  /** As `askUdp`, over TCP. */
  askTcp(server: string, query: Uint8Array, timeout: number, accept: (answer: Uint8Array) => boolean): Promise<Uint8Array>;
}
