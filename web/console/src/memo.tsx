import { Component, type ComponentType } from "preact";

/** Returns a component that renders again only if one of its properties has changed. */
export function memo<P extends object>(Inner: ComponentType<P>): ComponentType<P> {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const before = this.props as Readonly<P>;
      const names = Object.keys(next) as (keyof P)[];
      return names.length !== Object.keys(before).length || names.some((name) => before[name] !== next[name]);
    }

    override render() {
      return <Inner {...(this.props as P)} />;
    }
  };
}
