/** An etcd cluster of three members with its defaults. */
import { createHistogram, performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Processes } from '../role-cpu.ts';
import { freePortRange, type Scratch } from '../scratch.ts';
import { EtcdClient } from './etcd-client.ts';
import { measureFailover, type Survivor } from './failover.ts';
import { type LoadFigures, type LoadSpec, type ReplicatedPeer, START_TIMEOUT_MS, VALUE_BYTES } from './peer.ts';

const MEMBERS = 3;
/** Connections that the clients of a load are spread over. Fewer than clients: HTTP/2 carries many calls on one. */
const MAX_CONNECTIONS = 8;
const WARM_UP_SECONDS = 0.5;
const VALUE = Buffer.alloc(VALUE_BYTES, 'x');
/** Operations of one transaction; etcd takes 128. */
const KEYS_AT_ONCE = 100;

const keyOf = (key: number): Buffer => Buffer.from(`key:${String(key).padStart(12, '0')}`);

interface EtcdMember {
  readonly clientPort: number;
  readonly server: ReturnType<Scratch['serve']>;
}

export class EtcdPeer implements ReplicatedPeer {
  readonly name = 'etcd';
  private readonly scratch: Scratch;
  private members: EtcdMember[] = [];

  constructor(scratch: Scratch) {
    this.scratch = scratch;
  }

  async start(): Promise<void> {
    const first = await freePortRange(2 * MEMBERS);
    const url = (port: number): string => `http://127.0.0.1:${port}`;
    const ids = Array.from({ length: MEMBERS }, (_, index) => index);
    const initialCluster = ids.map((id) => `m${id}=${url(first + MEMBERS + id)}`).join(',');
    this.members = ids.map((id) => {
      const clientUrl = url(first + id);
      const peerUrl = url(first + MEMBERS + id);
      const args = ['--name', `m${id}`, '--data-dir', this.scratch.newFolder('etcd'), '--log-level', 'fatal'];
      args.push('--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl);
      args.push('--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl);
      args.push('--initial-cluster', initialCluster, '--initial-cluster-token', this.scratch.folder);
      return { clientPort: first + id, server: this.scratch.serve('etcd', args) };
    });
    await this.leader(START_TIMEOUT_MS);
  }

  async load(spec: LoadSpec): Promise<LoadFigures> {
    if (spec.operation === 'incrHotKey' || spec.pipeline !== 1) throw new Error('etcd has no such operation');
    const leader = await this.leader(START_TIMEOUT_MS);
    const clients = Array.from(
      { length: Math.min(spec.clients, MAX_CONNECTIONS) },
      () => new EtcdClient(leader.clientPort),
    );
    try {
      const { commands: before } = await this.runClients(clients, spec, WARM_UP_SECONDS);
      const figures = await this.runClients(clients, spec, spec.seconds);
      return { ...figures, commands: before + figures.commands };
    } finally {
      for (const client of clients) client.close();
    }
  }

  async failover(): Promise<number> {
    const leader = await this.leader(START_TIMEOUT_MS);
    const clients = this.members
      .filter((member) => member !== leader)
      .map((member) => new EtcdClient(member.clientPort));
    let serial = 0;
    const survivors = clients.map((client): Survivor => {
      const write = (): Promise<void> => client.put(Buffer.from(`failover:${++serial % 1000}`), VALUE);
      // HTTP/2 answers in any order: no call waits behind one that hangs.
      return { write, probe: write };
    });
    try {
      return await measureFailover(survivors, () => leader.server.kill('SIGKILL'));
    } finally {
      for (const client of clients) client.close();
    }
  }

  async fill(keys: number): Promise<void> {
    const client = new EtcdClient((await this.leader(START_TIMEOUT_MS)).clientPort);
    let next = 0;
    const write = async (): Promise<void> => {
      while (next < keys) {
        const from = next;
        next = Math.min(keys, from + KEYS_AT_ONCE);
        await client.putAll(
          Array.from({ length: next - from }, (_, at) => keyOf(from + at)),
          VALUE,
        );
      }
    };
    try {
      await Promise.all(Array.from({ length: MAX_CONNECTIONS }, write));
    } finally {
      client.close();
    }
  }

  processes(): readonly Processes[] {
    return [{ role: 'member', pids: this.members.map(({ server }) => server.pid) }];
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.server.kill()));
    this.members = [];
  }

  private async runClients(clients: readonly EtcdClient[], spec: LoadSpec, seconds: number) {
    const latenciesUs = createHistogram();
    const startedMs = performance.now();
    const stopAtMs = startedMs + seconds * 1000;
    const utilization = performance.eventLoopUtilization();
    const loop = async (client: EtcdClient): Promise<void> => {
      for (let sentMs = performance.now(); sentMs < stopAtMs; ) {
        const key = keyOf(Math.floor(Math.random() * spec.keyCount));
        await (spec.operation === 'set' ? client.put(key, VALUE) : client.get(key));
        const doneMs = performance.now();
        latenciesUs.record(Math.max(1, Math.round((doneMs - sentMs) * 1000)));
        sentMs = doneMs;
      }
    };
    await Promise.all(Array.from({ length: spec.clients }, (_, index) => loop(clients[index % clients.length]!)));
    return {
      perSecond: latenciesUs.count / ((performance.now() - startedMs) / 1000),
      p50Ms: latenciesUs.percentile(50) / 1000,
      p99Ms: latenciesUs.percentile(99) / 1000,
      commands: latenciesUs.count,
      clientBusy: performance.eventLoopUtilization(utilization).utilization,
    } satisfies LoadFigures;
  }

  /** The member that leads; waits for an election that is under way. */
  private async leader(timeoutMs: number): Promise<EtcdMember> {
    const deadlineMs = Date.now() + timeoutMs;
    for (;;) {
      for (const member of this.members) {
        const client = new EtcdClient(member.clientPort);
        const leads = await client.leads().catch(() => undefined);
        client.close();
        if (leads === true) return member;
      }
      if (Date.now() > deadlineMs) throw new Error(`etcd has no leader after ${timeoutMs / 1000} s`);
      await delay(100);
    }
  }
}
