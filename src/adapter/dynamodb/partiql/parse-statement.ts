/**
 * The grammar of statements:
 *
 *   SELECT * | path, ..  FROM table[.index]  [WHERE ..]  [ORDER BY name [ASC | DESC], ..]
 *   INSERT INTO table VALUE {..}
 *   UPDATE table  { SET path = value, .. | REMOVE path, .. }  WHERE ..  [RETURNING ALL | MODIFIED  OLD | NEW  *]
 *   DELETE FROM table  WHERE ..  [RETURNING ALL OLD *]
 *   EXISTS ( SELECT .. )
 */
import { checkPaths, type DocumentPath, type UpdateAction, type UpdateValue } from '../expressions/index.ts';
import type { AttributeValue } from '../values/index.ts';
import type {
  DeleteStatement,
  InsertStatement,
  Returning,
  SelectStatement,
  Statement,
  UpdateStatement,
} from './statement.ts';
import { WhereReader } from './where.ts';
import { malformed } from './words.ts';

const MISMATCH = 'An operand in the update expression has an incorrect data type';

const isSame = (a: DocumentPath, b: DocumentPath): boolean =>
  a.length === b.length && a.every((part, at) => part === b[at]);

class StatementReader extends WhereReader {
  read(): Statement {
    const statement = this.statement();
    this.end();
    return statement;
  }

  private statement(): Statement {
    if (this.takeKeyword('SELECT')) return this.select();
    if (this.takeKeyword('INSERT')) return this.insert();
    if (this.takeKeyword('UPDATE')) return this.update();
    if (this.takeKeyword('DELETE')) return this.delete();
    this.expectKeyword('EXISTS');
    this.expectSymbol('(');
    this.expectKeyword('SELECT');
    const { table, index, where } = this.select();
    this.expectSymbol(')');
    if (where === undefined || index !== undefined) throw malformed('EXISTS selects one item of a table by its key');
    return { kind: 'exists', table, where };
  }

  private select(): SelectStatement {
    const paths: DocumentPath[] = [];
    if (!this.takeSymbol('*'))
      do paths.push(this.path());
      while (this.takeSymbol(','));
    this.expectKeyword('FROM');
    const table = this.name();
    const index = this.takeSymbol('.') ? this.name() : undefined;
    const where = this.takeKeyword('WHERE') ? this.condition() : undefined;
    const order = this.order();
    if (paths.length > 0) checkPaths(paths.map((path) => ({ kind: 'remove', path })));
    return { kind: 'select', table, index, projection: paths.length === 0 ? undefined : { paths }, where, order };
  }

  /** Attributes of one key have one direction; the last decides, as the first is equal everywhere. */
  private order(): SelectStatement['order'] {
    if (!this.takeKeyword('ORDER')) return undefined;
    this.expectKeyword('BY');
    let order: SelectStatement['order'];
    do {
      const name = this.name();
      const isDescending = this.takeKeyword('DESC');
      if (!isDescending) this.takeKeyword('ASC');
      order = { name, isDescending };
    } while (this.takeSymbol(','));
    return order;
  }

  private insert(): InsertStatement {
    this.expectKeyword('INTO');
    const table = this.name();
    this.expectKeyword('VALUE');
    const value = this.value();
    if (value.type !== 'M') throw malformed('INSERT takes one item in braces');
    return { kind: 'insert', table, item: value.value };
  }

  private update(): UpdateStatement {
    const table = this.name();
    const actions: UpdateAction[] = [];
    for (;;) {
      if (this.takeKeyword('SET'))
        do actions.push(this.assignment());
        while (this.takeSymbol(','));
      else if (this.takeKeyword('REMOVE'))
        do actions.push({ kind: 'remove', path: this.path() });
        while (this.takeSymbol(','));
      else break;
    }
    if (actions.length === 0) throw this.unexpected();
    checkPaths(actions);
    const where = this.where();
    return { kind: 'update', table, update: { actions, mismatch: MISMATCH }, where, returning: this.returning() };
  }

  private delete(): DeleteStatement {
    this.expectKeyword('FROM');
    const table = this.name();
    const where = this.where();
    const returning = this.returning();
    if (returning !== undefined && (returning.which !== 'ALL' || returning.when !== 'OLD'))
      throw malformed('DELETE returns ALL OLD * or nothing');
    return { kind: 'delete', table, where, returning };
  }

  private where(): UpdateStatement['where'] {
    this.expectKeyword('WHERE');
    return this.condition();
  }

  private returning(): Returning | undefined {
    if (!this.takeKeyword('RETURNING')) return undefined;
    const which = this.takeKeyword('ALL') ? 'ALL' : 'MODIFIED';
    if (which === 'MODIFIED') this.expectKeyword('MODIFIED');
    const when = this.takeKeyword('OLD') ? 'OLD' : 'NEW';
    if (when === 'NEW') this.expectKeyword('NEW');
    this.expectSymbol('*');
    return { which, when };
  }

  private assignment(): UpdateAction {
    const path = this.path();
    this.expectSymbol('=');
    const name = this.calledName;
    if (name === 'set_add' || name === 'set_delete') return this.setChange(path, name);
    const left = this.updateValue();
    const sign = this.takeSymbol('+') ? '+' : this.takeSymbol('-') ? '-' : undefined;
    if (sign === undefined) return { kind: 'set', path, value: left };
    return { kind: 'set', path, value: { kind: 'arithmetic', sign, left, right: this.updateValue() } };
  }

  private setChange(path: DocumentPath, name: 'set_add' | 'set_delete'): UpdateAction {
    this.openCall();
    if (!isSame(this.path(), path)) throw malformed(`${name} changes the set that is assigned to`);
    this.expectSymbol(',');
    const value: AttributeValue = this.value();
    this.expectSymbol(')');
    if (value.type !== 'SS' && value.type !== 'NS' && value.type !== 'BS')
      throw malformed(`${name} takes a set as its second operand`);
    return { kind: name === 'set_add' ? 'add' : 'delete', path, value };
  }

  private updateValue(depth = 0): UpdateValue {
    if (this.isValue) return { kind: 'value', value: this.value() };
    const name = this.calledName;
    if (name === undefined) return { kind: 'path', path: this.path() };
    // One level is what functions of updates have any use for.
    if (depth > 1 || (name !== 'list_append' && name !== 'if_not_exists'))
      throw malformed(`Unknown function: ${this.word.text}`);
    this.openCall();
    const left = this.updateValue(depth + 1);
    this.expectSymbol(',');
    const right = this.updateValue(depth + 1);
    this.expectSymbol(')');
    if (name === 'list_append') return { kind: name, left, right };
    if (left.kind !== 'path') throw malformed('if_not_exists takes a path as its first operand');
    return { kind: name, path: left.path, otherwise: right };
  }
}

/**
 * Reads a statement.
 * @param parameters what `?` stands for, in order
 * @throws DynamoError ValidationException
 */
export const parseStatement = (text: string, parameters: readonly AttributeValue[]): Statement =>
  new StatementReader(text, parameters).read();
