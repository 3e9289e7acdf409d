/** Figures of loads on systems that take turns, round by round: rates, ratios, and what a command costs. */
import { type Align, formatCount, formatTable } from '../cmd/cli/table.ts';
import { OthersWatch } from './others.ts';
import { type CpuLine, formatCpu, type Processes, type RoleTimes, withRoleTimes } from './role-cpu.ts';
import { areQuiet, median, rangeOf, ratiosOf, ratioText, type Verdict } from './spread.ts';
import { sumOf } from './thread-cpu.ts';

/** What a load was, at least. */
export interface Measured {
  readonly perSecond: number;
  /** How many there were, those before the figure included; left out, their cost is not counted. */
  readonly commands?: number | undefined;
}

interface Line {
  readonly load: string;
  readonly system: string;
  /** A value a round. */
  readonly perSecond: number[];
  readonly cpu: RoleTimes[];
}

/** Two figures of which one is held against the other. */
export interface Held {
  readonly load: string;
  readonly system: string;
}

/** See the top of the file. */
export class Ledger {
  readonly others = new OthersWatch();
  private readonly lines: Line[] = [];

  /** Runs a load on a system and notes what it was and what it cost. @param load its name */
  async measure<T extends Measured>(
    load: string,
    system: string,
    processes: readonly Processes[],
    run: () => Promise<T>,
  ): Promise<T> {
    const { figures, cpu } = await this.others.during(() => withRoleTimes(processes, run));
    let line = this.find({ load, system });
    if (line === undefined) {
      line = { load, system, perSecond: [], cpu: [] };
      this.lines.push(line);
    }
    line.perSecond.push(figures.perSecond);
    line.cpu.push(cpu);
    console.error(`  ${system.padEnd(12)}  ${load}: ${formatCount(figures.perSecond)}/s`);
    return figures;
  }

  private find({ load, system }: Held): Line | undefined {
    return this.lines.find((line) => line.load === load && line.system === system);
  }

  /** A value a round; none where it was not measured. */
  rates(load: string, system: string): readonly number[] {
    return this.find({ load, system })?.perSecond ?? [];
  }

  /** Whether the rate of one is at least so many times that of the other, by the middle of the rounds. */
  judge(one: Held, other: Held, atLeast: number): Verdict {
    const [ours, theirs] = [one, other].map(({ load, system }) => this.rates(load, system)) as [number[], number[]];
    const ratios = ratiosOf(ours, theirs);
    const name = ({ load, system }: Held): string => `${load} of ${system}`;
    return {
      text: `${name(one)} >= ${atLeast}x ${name(other)}: ${ratioText(ratios)}`,
      passed: ratios.length === 0 ? undefined : median(ratios) >= atLeast,
      isQuiet: this.others.isQuiet && areQuiet(ratios),
    };
  }

  /** Processor time a command of one system to that of another, all roles together, of each round that has both. */
  costRatios(load: string, system: string, other: string): readonly number[] {
    const costs = (of: string): number[] =>
      this.find({ load, system: of })?.cpu.map((roles) =>
        Object.values(roles).reduce((sum, times) => sum + sumOf(times), 0),
      ) ?? [];
    return ratiosOf(costs(system), costs(other));
  }

  /** A row a load: the rate of each system, and the first one's to each of the others, of the same round. @param unit behind a rate */
  formatRates([first, ...peers]: readonly string[], unit = '/s', decimals = 0): string {
    const loads = [...new Set(this.lines.map(({ load }) => load))];
    const shown = (value: number): string => (decimals === 0 ? formatCount(value) : value.toFixed(decimals));
    const rows = loads.map((load) => {
      const ours = this.rates(load, first!);
      const rates = [first!, ...peers].map((system) => {
        const text = rangeOf(this.rates(load, system), shown);
        return text === '-' ? text : `${text}${unit}`;
      });
      return [load, ...rates, ...peers.map((system) => ratioText(ratiosOf(ours, this.rates(load, system))))];
    });
    const heading = ['smallest / middle / largest round', first!, ...peers, ...peers.map((system) => `to ${system}`)];
    return formatTable(
      [heading, ...rows],
      heading.map((_, at): Align => (at === 0 ? 'left' : 'right')),
    );
  }

  /** What a command costs, by system, role and thread. */
  formatCosts(of?: string): string {
    return formatCpu(this.costs(), of);
  }

  private costs(): CpuLine[] {
    return this.lines.map(({ load, system, cpu }) => ({ load, system, rounds: cpu }));
  }

  /** All figures, for the result file. */
  facts(): readonly object[] {
    return this.lines;
  }
}
