/** Ports for nodes that have to know each other before they start. */
import { createServer } from 'node:net';

/**
 * Below what the kernel hands out to outgoing connections: a port that it hands out could be taken by anybody's connection
 * before the node binds it.
 */
const RANGE = { first: 12_000, last: 30_000 };
const MAX_TRIES = 1000;

function canBind(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Different ports that nobody listens on now. Drawn anew each time, so that runs side by side rarely want the same ones. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count; tries++) {
    if (tries >= MAX_TRIES) throw new Error(`no ${count} free ports between ${RANGE.first} and ${RANGE.last}`);
    const port = RANGE.first + Math.floor(Math.random() * (RANGE.last - RANGE.first));
    if (!ports.has(port) && (await canBind(port))) ports.add(port);
  }
  return [...ports];
}
