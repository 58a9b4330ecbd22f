import "../style.css";
import { Chat } from "./chat.js";
import { part } from "./dom.js";
import { Counted } from "./counted.js";
import { Header } from "./header.js";
import { Members } from "./members.js";
import { News } from "./news.js";
import { Visit } from "./visit.js";

const news = new News(part(document, "#news"));
const members = new Members(part(document, "#members"));
new Header(part(document, ".top"));
const counted = new Counted(part(document, "#counter"), part(document, "#marks"), news, members);
new Visit(part(document, "#visit"), news, members, counted);
new Chat(part(document, "#chat"));
