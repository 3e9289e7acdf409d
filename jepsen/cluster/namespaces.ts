/**
 * Every node in a network namespace of its own, all on one bridge: real packets are dropped, so TCP sees what it sees on a
 * broken network. Needs root and iproute2. A direction is cut by a blackhole route at the sender; delay and loss are netem
 * rules, which some kernels do not have.
 */
import { execFileSync } from 'node:child_process';
import type { LinkFault, NodeNumber } from '../types.ts';
import type { Isolation, NodeAddresses } from './isolation.ts';

/** Each namespace has its own ports, so all nodes use the usual ones. */
const PORTS = { redisPort: 6379, grpcPort: 50051, metricsPort: 9090, dynamodbPort: 8000 };
/** Interface names have at most 15 characters. */
const MAX_PREFIX = 0xffff;

function ip(...args: string[]): void {
  try {
    execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    const said = (error as { stderr?: Buffer }).stderr?.toString().trim() ?? (error as Error).message;
    throw new Error(`ip ${args.join(' ')}: ${said}; namespaces need root and iproute2, try --isolation proxies`);
  }
}

export class NamespaceIsolation implements Isolation {
  private readonly numbers: readonly NodeNumber[];
  /** Part of every name, so that runs side by side do not meet. */
  private readonly prefix: string;
  private readonly subnet: string;
  private readonly cuts = new Set<string>();
  private readonly shaped = new Set<NodeNumber>();
  private readonly cleanUp = (): void => this.remove();

  /** @throws with what to do when the machine does not let us */
  constructor(numbers: readonly NodeNumber[]) {
    this.numbers = numbers;
    const id = process.pid & MAX_PREFIX;
    this.prefix = `kv${id.toString(16)}`;
    this.subnet = `10.${64 + (id >>> 8)}.${id & 0xff}`;
    process.once('exit', this.cleanUp);
    try {
      this.build();
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  private get bridge(): string {
    return `${this.prefix}b`;
  }

  private namespace(node: NodeNumber): string {
    return `${this.prefix}n${node}`;
  }

  private build(): void {
    ip('link', 'add', this.bridge, 'type', 'bridge');
    ip('addr', 'add', `${this.subnet}.254/24`, 'dev', this.bridge);
    ip('link', 'set', this.bridge, 'up');
    for (const node of this.numbers) {
      const space = this.namespace(node);
      const outside = `${this.prefix}v${node}`;
      ip('netns', 'add', space);
      ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
      ip('link', 'set', outside, 'master', this.bridge);
      ip('link', 'set', outside, 'up');
      ip('-n', space, 'addr', 'add', `${this.hostOf(node)}/24`, 'dev', 'eth0');
      ip('-n', space, 'link', 'set', 'eth0', 'up');
      ip('-n', space, 'link', 'set', 'lo', 'up');
    }
  }

  private hostOf(node: NodeNumber): string {
    return `${this.subnet}.${node}`;
  }

  addresses(node: NodeNumber): NodeAddresses {
    return { host: this.hostOf(node), ...PORTS };
  }

  peerAddress(_from: NodeNumber, to: NodeNumber): string {
    return `${this.hostOf(to)}:${PORTS.grpcPort}`;
  }

  wrap(node: NodeNumber, command: readonly string[]): readonly string[] {
    return ['ip', 'netns', 'exec', this.namespace(node), ...command];
  }

  setLink(from: NodeNumber, to: NodeNumber, fault: LinkFault): void {
    const name = `${from}>${to}`;
    const route = ['-n', this.namespace(from), 'route'];
    const isCut = fault.cut === true;
    if (isCut && !this.cuts.has(name)) {
      ip(...route, 'add', 'blackhole', `${this.hostOf(to)}/32`);
      this.cuts.add(name);
    } else if (!isCut && this.cuts.delete(name)) {
      ip(...route, 'del', 'blackhole', `${this.hostOf(to)}/32`);
    }
    if ((fault.delayMs ?? 0) + (fault.jitterMs ?? 0) + (fault.lossRate ?? 0) > 0) this.shape(from, fault);
  }

  /** All that a node sends, whoever it is for: the faults that are made of this break every link alike. */
  private shape(node: NodeNumber, fault: LinkFault): void {
    const rules = [
      'delay',
      `${fault.delayMs ?? 0}ms`,
      `${fault.jitterMs ?? 0}ms`,
      'loss',
      `${(fault.lossRate ?? 0) * 100}%`,
    ];
    try {
      execFileSync('tc', ['-n', this.namespace(node), 'qdisc', 'replace', 'dev', 'eth0', 'root', 'netem', ...rules], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    } catch (error) {
      const said = (error as { stderr?: Buffer }).stderr?.toString().trim() ?? (error as Error).message;
      throw new Error(`this kernel cannot delay or lose packets (${said}); use --isolation proxies for this fault`);
    }
    this.shaped.add(node);
  }

  heal(): void {
    for (const name of [...this.cuts]) {
      const [from, to] = name.split('>').map(Number) as [NodeNumber, NodeNumber];
      this.setLink(from, to, {});
    }
    for (const node of this.shaped) {
      execFileSync('tc', ['-n', this.namespace(node), 'qdisc', 'del', 'dev', 'eth0', 'root']);
    }
    this.shaped.clear();
  }

  async stop(): Promise<void> {
    process.removeListener('exit', this.cleanUp);
    this.remove();
  }

  /** Takes away whatever is there; also after a start that got half-way. */
  private remove(): void {
    const attempts = [
      ...this.numbers.map((node) => ['netns', 'del', this.namespace(node)]),
      ['link', 'del', this.bridge],
    ];
    for (const args of attempts) {
      try {
        execFileSync('ip', args, { stdio: 'ignore' });
      } catch {
        // It was not there.
      }
    }
  }
}
