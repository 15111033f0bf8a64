/**
 * Decrypts an OpenSSH private key on a thread of its own: its bcrypt takes most of a second in JavaScript, and frames must
 * not wait for it. Answers with the key as PEM, unencrypted, or with what is wrong.
 */
import { parentPort, workerData } from 'node:worker_threads';
import ssh2 from 'ssh2';

export interface KeyWorkerInput {
  readonly text: string;
  readonly passphrase: string;
}

export type KeyWorkerOutput = { readonly pem: string } | { readonly error: string };

function decrypted({ text, passphrase }: KeyWorkerInput): KeyWorkerOutput {
  const key = ssh2.utils.parseKey(text, passphrase);
  return key instanceof Error ? { error: key.message } : { pem: (Array.isArray(key) ? key[0]! : key).getPrivatePEM() };
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
parentPort?.postMessage(decrypted(workerData as KeyWorkerInput));
