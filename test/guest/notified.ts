/** What a gvproxy with `-notification` tells, one connection each. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';

export interface Notification {
  readonly notification_type: string;
  readonly mac_address?: string;
}

/** Listens on a unix socket at `path`; the list grows with each notification. */
export async function collectNotifications(path: string): Promise<readonly Notification[]> {
  const notifications: Notification[] = [];
  const server = createServer(async (socket) => void notifications.push(JSON.parse(await text(socket)) as Notification));
  server.listen(path).unref();
  await once(server, 'listening');
  return notifications;
}
