import "./style.css";
import { render } from "preact";
import { App } from "./app.js";

const root = document.createElement("div");
root.id = "console";
document.body.append(root);
render(<App />, root);
