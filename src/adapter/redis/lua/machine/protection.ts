/**
 * Tables that scripts can read and not change. Lua 5.1 has no such thing, so a script sees an empty table in the place of each: reading goes on to the
 * real one, writing fails. Functions that work on a table itself, whatever its metatable says, are replaced by some that know the difference.
 */
import { type Library, type LuaApi, LuaType } from '../engine/index.ts';

const READ_ONLY = 'Attempt to modify a readonly table';

export class Protection {
  private readonly api: LuaApi;
  /** References to the real tables by the identity of what stands for them. */
  private readonly realTables = new Map<number, number>();
  private readonly refuseWrite: number;
  private readonly next: number;

  constructor(api: LuaApi) {
    this.api = api;
    const { state } = api;
    const [refuse] = api.addFunctions([(running) => api.raiseHere(running, READ_ONLY)]);
    this.refuseWrite = refuse!;
    api.getGlobal(state, 'next');
    this.next = api.reference(state);
  }

  /** Replaces the table on the top by one that stands for it and cannot be written to. */
  protect(): void {
    const { api } = this;
    const { state } = api;
    const real = api.top(state);
    api.newTable(state);
    api.newTable(state, 0, 3);
    api.pushValue(state, real);
    api.setField(state, -2, '__index');
    api.pushFunction(state, this.refuseWrite);
    api.setField(state, -2, '__newindex');
    // What getmetatable shows of it cannot be written to either.
    api.newTable(state);
    api.newTable(state, 0, 2);
    api.pushValue(state, -3);
    api.setField(state, -2, '__index');
    api.pushFunction(state, this.refuseWrite);
    api.setField(state, -2, '__newindex');
    api.setMetatable(state, -2);
    this.realTables.set(api.identity(state, -1), this.referenceTo(-2));
    api.setField(state, -2, '__metatable');
    api.setMetatable(state, -2);
    this.realTables.set(api.identity(state, -1), this.referenceTo(real));
    api.remove(state, real);
  }

  /** True when the table at an index stands for a protected one; then the real one has taken its place at `index`. */
  private unveil(state: number, index: number): boolean {
    const reference = this.realTables.get(this.api.identity(state, index));
    if (reference === undefined) return false;
    this.api.pushReference(state, reference);
    this.api.replace(state, index);
    return true;
  }

  /** Replacements for Lua's functions that look past metatables. */
  library(): Library {
    const { api } = this;
    return {
      pairs: (state) => {
        this.requireTable(state, 1);
        api.setTop(state, 1);
        this.unveil(state, 1);
        api.pushReference(state, this.next);
        api.insert(state, 1);
        api.pushNil(state);
        return 3;
      },
      next: (state) => {
        this.requireTable(state, 1);
        api.setTop(state, 2);
        this.unveil(state, 1);
        if (api.next(state, 1)) return 2;
        api.pushNil(state);
        return 1;
      },
      rawget: (state) => {
        this.requireTable(state, 1);
        api.requireAny(state, 2);
        api.setTop(state, 2);
        this.unveil(state, 1);
        api.rawGet(state, 1);
        return 1;
      },
      rawset: (state) => {
        this.requireTable(state, 1);
        api.requireAny(state, 2);
        api.requireAny(state, 3);
        api.setTop(state, 3);
        if (this.unveil(state, 1)) return api.raiseText(state, READ_ONLY);
        api.rawSet(state, 1);
        return 1;
      },
      setmetatable: (state) => {
        this.requireTable(state, 1);
        const type = api.type(state, 2);
        if (type !== LuaType.Nil && type !== LuaType.Table) return api.argumentError(state, 2, 'nil or table expected');
        if (this.realTables.has(api.identity(state, 1))) return api.raiseText(state, READ_ONLY);
        if (api.hasMetafield(state, 1, '__metatable'))
          return api.raiseHere(state, 'cannot change a protected metatable');
        api.setTop(state, 2);
        api.setMetatable(state, 1);
        return 1;
      },
    };
  }

  private requireTable(state: number, argument: number): void {
    if (this.api.type(state, argument) !== LuaType.Table) this.api.typeError(state, argument, 'table');
  }

  private referenceTo(index: number): number {
    this.api.pushValue(this.api.state, index);
    return this.api.reference(this.api.state);
  }
}
