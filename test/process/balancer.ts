/**
 * What stands before a cluster in many places: one TCP port, and each connection goes to a node that takes it. One that a node ends before it
 * has said anything is tried at the next node, with what the client has sent so far.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { listenOn } from '../../src/platform/index.ts';

/** What a client may have sent before a node says anything. */
const MAX_KEPT_BYTES = 64 * 1024;
/** Between two rounds over all nodes while none takes a connection. */
const AGAIN_MS = 10;

/** Where a client's connection went; times on the clock of `performance`. */
export interface Place {
  readonly acceptedMs: number;
  /** Port of the node that has it, or is being tried. */
  port: number;
  /** Nodes that did not take it. */
  refusals: number;
  /** When the node took it. */
  connectedMs: number | undefined;
}

/** See the top of the file. */
export class Balancer {
  private readonly ports: () => readonly number[];
  private readonly server: Server;
  private readonly open = new Set<Socket>();
  private next = 0;
  /** By the clients' ports. */
  private readonly places = new Map<number, Place>();
  /** Of the client that connected last. */
  last: Place | undefined;

  /** @param ports of the nodes, asked for each connection */
  constructor(ports: () => readonly number[]) {
    this.ports = ports;
    this.server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => this.serve(client));
  }

  /** @returns the port */
  listen(): Promise<number> {
    return listenOn(this.server, '127.0.0.1', 0);
  }

  close(): void {
    this.server.close();
    for (const socket of this.open) socket.destroy();
  }

  /** Where the connection of a client goes; undefined when it is none of those that are open. */
  placeOf(clientPort: number | undefined): Place | undefined {
    return clientPort === undefined ? undefined : this.places.get(clientPort);
  }

  private serve(client: Socket): void {
    const place: Place = { acceptedMs: performance.now(), port: 0, refusals: 0, connectedMs: undefined };
    this.last = place;
    const { remotePort } = client;
    if (remotePort !== undefined) {
      this.places.set(remotePort, place);
      client.once('close', () => this.places.get(remotePort) === place && this.places.delete(remotePort));
    }
    this.keep(client);
    const kept: Buffer[] = [];
    let keptBytes = 0;
    let target: Socket | undefined;
    let isHeard = false;
    client.on('error', () => client.destroy());
    client.on('data', (bytes) => {
      if (!isHeard) {
        kept.push(bytes);
        keptBytes += bytes.length;
        if (keptBytes > MAX_KEPT_BYTES) client.destroy();
      }
      target?.write(bytes);
    });
    client.on('end', () => target?.end());
    client.on('close', () => target?.destroy());
    const begin = (tries: number): void => {
      if (client.destroyed) return;
      const ports = this.ports();
      const port = ports[this.next++ % ports.length]!;
      const node = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
      target = node;
      place.port = port;
      place.refusals = tries;
      node.once('connect', () => {
        place.connectedMs = performance.now();
      });
      this.keep(node);
      for (const bytes of kept) node.write(bytes);
      if (client.readableEnded) node.end();
      node.on('data', (bytes) => {
        isHeard = true;
        kept.length = 0;
        client.write(bytes);
      });
      node.on('error', () => node.destroy());
      node.on('end', () => {
        if (isHeard || client.readableEnded) client.end();
        else node.destroy();
      });
      node.on('close', () => {
        if (client.destroyed) return;
        if (isHeard) client.end();
        else setTimeout(() => begin(tries + 1), (tries + 1) % ports.length === 0 ? AGAIN_MS : 0);
      });
    };
    begin(0);
  }

  private keep(socket: Socket): void {
    this.open.add(socket);
    socket.once('close', () => this.open.delete(socket));
  }
}
