/**
 * Watches over the commands of a node: how long they are evaluated, which were slow, who wants to see all of them. Evaluations are measured where they
 * take place and are spikes of that node's latency; the slow log is that of the node whose client has called, once a command.
 */
import type { Clock, Millis, WorkNotes } from '../../../platform/index.ts';
import type { CommandSpec, CommandTable, ConnectedClient, EvaluationMeter, RedisConfig } from '../command/index.ts';
import { type LatencyEvent, LatencyEvents, Monitors, SlowLog, withoutSecrets } from '../telemetry/index.ts';

const MICROS_PER_MS = 1_000;
const NEVER: Millis = Number.POSITIVE_INFINITY;

export class CommandWatch implements EvaluationMeter {
  readonly slowLog = new SlowLog();
  readonly latency = new LatencyEvents();
  readonly monitors = new Monitors();
  /** Keys that commands which only read have looked for here, and found or not. */
  keyspaceHits = 0;
  keyspaceMisses = 0;
  private readonly clock: Clock;
  private readonly table: Pick<CommandTable, 'countersOf'>;
  private readonly loop: WorkNotes | undefined;
  private slowMs: Millis = NEVER;
  private spikeMs: Millis = NEVER;
  private slowLogLength = 0;

  /** @param loop hears of evaluations */
  constructor(clock: Clock, config: RedisConfig, table: Pick<CommandTable, 'countersOf'>, loop?: WorkNotes) {
    this.clock = clock;
    this.table = table;
    this.loop = loop;
    this.configure(config);
  }

  configure({ slowlogSlowerThanMicros, slowlogMaxLength, latencyThresholdMs }: RedisConfig): void {
    this.slowMs = slowlogSlowerThanMicros < 0 ? NEVER : slowlogSlowerThanMicros / MICROS_PER_MS;
    this.spikeMs = latencyThresholdMs === 0 ? NEVER : latencyThresholdMs;
    this.slowLogLength = slowlogMaxLength;
  }

  get leastMs(): Millis {
    return this.slowMs;
  }

  nowMs(): Millis {
    return this.clock.monotonicMs();
  }

  evaluated(spec: CommandSpec, tookMs: Millis): void {
    this.loop?.did(spec.name, tookMs);
    this.ran(spec, tookMs);
  }

  /** A command has run here, and may have let others run meanwhile. */
  ran(spec: CommandSpec, tookMs: Millis): void {
    const counters = this.table.countersOf(spec);
    if (counters !== undefined) counters.executedMs += tookMs;
    if (tookMs >= this.spikeMs) this.spike(spec.flags.includes('fast') ? 'fast-command' : 'command', tookMs);
  }

  lookedUp(isThere: boolean): void {
    if (isThere) this.keyspaceHits++;
    else this.keyspaceMisses++;
  }

  /** CONFIG RESETSTAT. */
  resetCounters(): void {
    this.keyspaceHits = 0;
    this.keyspaceMisses = 0;
  }

  /** Something has held this node up, or what it does. */
  spike(event: LatencyEvent, tookMs: Millis): void {
    if (tookMs >= this.spikeMs) this.latency.add(event, tookMs, this.atSeconds());
  }

  /** A command of a client took so long; nobody has to have looked whether that is long. */
  took(client: Pick<ConnectedClient, 'remoteAddress' | 'name'>, args: readonly Buffer[], tookMs: Millis): void {
    if (tookMs < this.slowMs) return;
    const micros = Math.floor(tookMs * MICROS_PER_MS);
    const { remoteAddress: address, name } = client;
    this.slowLog.add(
      { atSeconds: this.atSeconds(), micros, args: withoutSecrets(args), address, name },
      this.slowLogLength,
    );
  }

  private atSeconds(): number {
    return Math.floor(this.clock.nowMs() / 1000);
  }
}
