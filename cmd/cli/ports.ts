/** A taken port is the most common reason that a node does not start, so it is looked for before anything else happens. */
import { createServer } from 'node:net';

export interface WantedPort {
  readonly host: string;
  readonly port: number;
  /** Flag that changes it, `--redis-port`. */
  readonly flag: string;
  /** The node can do without it. */
  readonly isOptional?: boolean;
}

/** The port for Redis Cluster clients, if there is to be one. */
export const clusterPortWanted = (host: string, port: number | undefined): WantedPort[] =>
  port === undefined ? [] : [{ host, port, flag: '--redis-cluster-port', isOptional: true }];

/** The port for DynamoDB clients, if there is to be one. */
export const dynamodbPortWanted = (host: string, port: number | 'none' | undefined): WantedPort[] =>
  typeof port === 'number' ? [{ host, port, flag: '--dynamodb-port', isOptional: true }] : [];

function bindError({ host, port }: WantedPort): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', resolve);
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}

function explain({ host, port, flag, isOptional = false }: WantedPort, error: NodeJS.ErrnoException): string {
  const remedy = `choose another one with ${flag}${isOptional ? `, or do without: ${flag}=none` : ''}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is taken; ${remedy}`;
    case 'EACCES':
      return `port ${port} on ${host} needs more rights than this user has; ${remedy}`;
    case 'EADDRNOTAVAIL':
      return `${host} is not an address of this machine; change ${flag.replace(/(-cluster)?-port$/, '-host')}`;
    default:
      return `${host}:${port} (${flag}) cannot be used: ${error.message}`;
  }
}

/** One sentence a port that cannot be bound now; empty when all can. Port 0 is always fine. */
export async function portComplaints(wanted: readonly WantedPort[]): Promise<string[]> {
  const complaints: string[] = [];
  for (const candidate of wanted) {
    const error = await bindError(candidate);
    if (error !== undefined) complaints.push(explain(candidate, error));
  }
  return complaints;
}
