/** What requests have cost, as answers say it. */
import type { WriteCosts } from './write-item.ts';

export type ReturnConsumedCapacity = 'INDEXES' | 'TOTAL' | 'NONE';

/** Gathers the costs of one table in one request. */
export class TableCosts {
  readonly name: string;
  private table = 0;
  /** Made when an index has cost something. */
  private globals: Map<string, number> | undefined;
  private locals: Map<string, number> | undefined;

  constructor(name: string) {
    this.name = name;
  }

  addTable(units: number): void {
    this.table += units;
  }

  addWrite({ table, globalIndexes, localIndexes }: WriteCosts): void {
    this.table += table;
    for (const [name, units] of globalIndexes) this.addGlobal(name, units);
    for (const [name, units] of localIndexes) this.addLocal(name, units);
  }

  addGlobal(name: string, units: number): void {
    this.globals ??= new Map();
    this.globals.set(name, (this.globals.get(name) ?? 0) + units);
  }

  addLocal(name: string, units: number): void {
    this.locals ??= new Map();
    this.locals.set(name, (this.locals.get(name) ?? 0) + units);
  }

  /**
   * The member `ConsumedCapacity`; undefined when nobody asked for it.
   * @param kind of units that are told apart, in transactions
   */
  shown(asked: ReturnConsumedCapacity | undefined, kind?: 'read' | 'write'): object | undefined {
    if (asked === undefined || asked === 'NONE') return undefined;
    const units = (count: number): object => ({
      CapacityUnits: count,
      ReadCapacityUnits: kind === 'read' ? count : undefined,
      WriteCapacityUnits: kind === 'write' ? count : undefined,
    });
    const sum = (counts: ReadonlyMap<string, number> | undefined): number =>
      [...(counts?.values() ?? [])].reduce((all, one) => all + one, 0);
    const total = { TableName: this.name, ...units(this.table + sum(this.globals) + sum(this.locals)) };
    if (asked === 'TOTAL') return total;
    const indexes = (counts: ReadonlyMap<string, number> | undefined): object | undefined =>
      counts === undefined ? undefined : Object.fromEntries([...counts].map(([name, count]) => [name, units(count)]));
    return {
      ...total,
      Table: units(this.table),
      GlobalSecondaryIndexes: indexes(this.globals),
      LocalSecondaryIndexes: indexes(this.locals),
    };
  }
}
