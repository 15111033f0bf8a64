/** What the host had no room for, and was tried again. */
export class HostCounters {
  /** Sends and receives on TCP sockets that found no memory (ENOBUFS, ENOMEM). */
  transfersPutOff = 0;
  /** Times that a listener found no descriptor or memory for a connection, which then waits in its queue (EMFILE, ENFILE, …). */
  acceptsPutOff = 0;
}
