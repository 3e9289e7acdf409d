/** Opens ports. */
import type { Server } from 'node:net';

/**
 * Has a server listen.
 * @param port 0 for a free one
 * @returns the port that was bound
 * @throws the system's error (EADDRINUSE, EACCES, ...)
 */
export function listenOn(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}
