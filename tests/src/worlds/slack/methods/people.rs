//! `users.*`, `bots.info`, `usergroups.list`, `emoji.list`, `team.info`.

use serde_json::{Value, json};

use crate::worlds::slack::call::{Call, Done, no};

pub(in super::super) fn info(call: &mut Call<'_>) -> Done {
    call.scope("users:read")?;
    let id = call.text("user")?.unwrap_or_default();
    match call.state.user(&id) {
        Some(user) => Ok(json!({ "user": user.json() })),
        None => no("user_not_found"),
    }
}

pub(in super::super) fn list(call: &mut Call<'_>) -> Done {
    call.scope("users:read")?;
    let team = call.team();
    let all = call.state.users.values().filter(|user| user.team == team);
    let all = all.map(|user| (user.id.clone(), user.json())).collect();
    let (members, next) = call.page(all, 1000)?;
    let cache = call.state.now / 1_000_000;
    Ok(json!({ "members": members, "cache_ts": cache, "response_metadata": { "next_cursor": next } }))
}

pub(in super::super) fn bot(call: &mut Call<'_>) -> Done {
    call.scope("users:read")?;
    let id = call.text("bot")?.unwrap_or_default();
    let bots = call.state.users.values();
    let Some((user, app)) = bots.filter_map(|user| Some((user, user.bot.as_ref()?))).find_map(|(user, bot)| {
        let (app, bot_id) = bot;
        (*bot_id == id).then_some((user, app))
    }) else {
        return no("bot_not_found");
    };
    let icons = json!({
        "image_36": format!("{}?size=36", user.image), "image_48": format!("{}?size=48", user.image),
        "image_72": format!("{}?size=72", user.image),
    });
    Ok(json!({ "bot": {
        "id": id, "deleted": user.deleted, "name": user.real_name, "updated": 1_700_000_000, "app_id": app,
        "user_id": user.id, "icons": icons,
    } }))
}

pub(in super::super) fn groups(call: &mut Call<'_>) -> Done {
    call.scope("usergroups:read")?;
    let (team, users, count) = (call.team(), call.flag("include_users")?, call.flag("include_count")?);
    let shown = call.state.groups.values().filter(|group| group.team == team).map(|group| {
        let mut shown = json!({
            "id": group.id, "team_id": group.team, "is_usergroup": true, "name": group.name, "description": "",
            "handle": group.handle, "is_external": false, "date_delete": 0, "auto_type": null,
            "prefs": { "channels": [], "groups": [] },
        });
        if users {
            shown["users"] = json!(group.users);
        }
        if count {
            shown["user_count"] = json!(group.users.len());
        }
        shown
    });
    let shown: Vec<Value> = shown.collect();
    Ok(json!({ "usergroups": shown }))
}

pub(in super::super) fn emoji(call: &mut Call<'_>) -> Done {
    call.scope("emoji:read")?;
    let cache = format!("{}.000000", call.state.now / 1_000_000);
    Ok(json!({ "emoji": call.state.teams[&call.team()].emoji, "cache_ts": cache }))
}

pub(in super::super) fn team(call: &mut Call<'_>) -> Done {
    call.scope("team:read")?;
    let wanted = call.text("team")?.filter(|team| !team.is_empty()).unwrap_or_else(|| call.team());
    if wanted != call.team() {
        return no("team_not_found");
    }
    let team = &call.state.teams[&wanted];
    Ok(json!({ "team": {
        "id": team.id, "name": team.name, "domain": team.domain, "email_domain": "",
        "url": format!("https://{}.slack.com/", team.domain), "icon": { "image_default": true },
    } }))
}
