/**
 * How the nodes of a test cluster are kept apart, so that the network between them can be broken: each way gives every
 * node its addresses, may wrap the command that starts it, and sets the faults of one direction of one link.
 */

import { freePortRange } from '../../bench/scratch.ts';
import type { Random } from '../../src/platform/index.ts';
import type { LinkFault, NodeNumber } from '../types.ts';
import { FaultProxy } from './fault-proxy.ts';

/** Where a node listens. */
export interface NodeAddresses {
  readonly host: string;
  readonly redisPort: number;
  readonly grpcPort: number;
  readonly metricsPort: number;
  readonly dynamodbPort: number;
}

export interface Isolation {
  addresses(node: NodeNumber): NodeAddresses;
  /** `host:port` under which `from` is to reach `to`. */
  peerAddress(from: NodeNumber, to: NodeNumber): string;
  /** The command line that runs a command where the node lives. */
  wrap(node: NodeNumber, command: readonly string[]): readonly string[];
  /** Sets how what `from` sends reaches `to`; replaces an earlier fault of that direction. @throws when it cannot be done here */
  setLink(from: NodeNumber, to: NodeNumber, fault: LinkFault): void;
  heal(): void;
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';
const PORTS_A_NODE = 4;

/** A fault proxy between every ordered pair of nodes on loopback. Needs no rights; clients are never cut off. */
export class ProxyIsolation implements Isolation {
  private readonly nodes = new Map<NodeNumber, NodeAddresses>();
  /** Keyed `from>to`: the proxy through which `from` connects to `to`, and its port. */
  private readonly proxies = new Map<string, { readonly proxy: FaultProxy; readonly port: number }>();

  private constructor() {}

  static async create(numbers: readonly NodeNumber[], random: Random): Promise<ProxyIsolation> {
    const isolation = new ProxyIsolation();
    const first = await freePortRange(numbers.length * PORTS_A_NODE);
    for (const [at, number] of numbers.entries()) {
      const redisPort = first + at * PORTS_A_NODE;
      isolation.nodes.set(number, {
        host: HOST,
        redisPort,
        grpcPort: redisPort + 1,
        metricsPort: redisPort + 2,
        dynamodbPort: redisPort + 3,
      });
    }
    for (const from of numbers) {
      for (const to of numbers) {
        if (from === to) continue;
        const proxy = new FaultProxy(() => isolation.addresses(to).grpcPort, random);
        isolation.proxies.set(`${from}>${to}`, { proxy, port: await proxy.listen() });
      }
    }
    return isolation;
  }

  addresses(node: NodeNumber): NodeAddresses {
    const addresses = this.nodes.get(node);
    if (addresses === undefined) throw new Error(`the cluster has no node ${node}`);
    return addresses;
  }

  peerAddress(from: NodeNumber, to: NodeNumber): string {
    return `${HOST}:${this.proxies.get(`${from}>${to}`)?.port ?? this.addresses(to).grpcPort}`;
  }

  wrap(_node: NodeNumber, command: readonly string[]): readonly string[] {
    return command;
  }

  setLink(from: NodeNumber, to: NodeNumber, fault: LinkFault): void {
    // Bytes from A to B travel on A's connections to B, and back along B's connections to A.
    this.proxies.get(`${from}>${to}`)?.proxy.setOutbound(fault);
    this.proxies.get(`${to}>${from}`)?.proxy.setInbound(fault);
  }

  heal(): void {
    for (const { proxy } of this.proxies.values()) {
      proxy.setOutbound({});
      proxy.setInbound({});
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.proxies.values()].map(({ proxy }) => proxy.stop()));
  }
}
